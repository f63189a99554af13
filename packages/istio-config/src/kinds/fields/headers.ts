// Fields: changes to headers.
import type { z } from 'zod';
import { headerName, headerValue, writtenHeaderName } from '../../declare/formats.js';
import { list, map, message, nested } from '../../declare/message.js';
import { text } from '../../declare/scalars.js';

const value = text('', { format: headerValue });

/** Changes to the headers of one direction, applied in the order remove, set, add. */
export const headerOperations = message(
  'HeaderOperations',
  {
    set: map(value, 'Headers to write, in place of those of the same name.', writtenHeaderName),
    add: map(value, 'Headers to append, beside those of the same name.', writtenHeaderName),
    remove: list(text('', { format: headerName }), 'Names of headers to take out.'),
  },
  { instead: { append: 'add', overwrite: 'set', delete: 'remove' } },
);

/** Changes to the headers of both directions. */
export const headers = message('Headers', {
  request: nested(headerOperations, 'Before the request is forwarded.'),
  response: nested(headerOperations, 'Before the response is returned.'),
});

export type HeaderOperations = z.infer<typeof headerOperations>;
export type Headers = z.infer<typeof headers>;
