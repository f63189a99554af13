// Fields: how a string of a request is matched.
import type { z } from 'zod';
import { regex, regexOrStar } from '../../declare/formats.js';
import { message } from '../../declare/message.js';
import { text } from '../../declare/scalars.js';

/** Exact, prefix or regular expression. An empty match on a header means that the header is present. */
export const stringMatch = message(
  'StringMatch',
  {
    exact: text('The whole string.'),
    prefix: text('What it begins with.'),
    regex: text('A regular expression (RE2) for the whole string.', { format: regex }),
  },
  { atMostOneOf: [['exact', 'prefix', 'regex']], instead: { suffix: 'regex', contains: 'regex', present: '{}' } },
);

/** What a header must not be; Istio takes the expression `*` for "is there" here. */
export const excludedMatch = message(
  'StringMatch',
  {
    exact: text('The whole string.'),
    prefix: text('What it begins with.'),
    regex: text('A regular expression (RE2) for the whole string; `*`: any.', { format: regexOrStar }),
  },
  { atMostOneOf: [['exact', 'prefix', 'regex']], instead: { suffix: 'regex', contains: 'regex', present: '{}' } },
);

export type StringMatch = z.infer<typeof stringMatch>;
