// Fields: which HTTP requests a route is for.

import type { z } from 'zod';
import { dnsLabel, matchedHeaderName } from '../../declare/formats.js';
import { labels } from '../../declare/labels.js';
import { list, map, message, nested } from '../../declare/message.js';
import { flag, portNumber, text } from '../../declare/scalars.js';
import { excludedMatch, stringMatch } from './string-match.js';

/** All that is set has to hold; of several matches of a route any one. */
export const httpMatchRequest = message(
  'HTTPMatchRequest',
  {
    name: text('A name for the match; it is appended to the name of the route.'),
    uri: nested(stringMatch, 'The path with the query; case matters unless ignoreUriCase.'),
    scheme: nested(stringMatch, 'http or https.'),
    method: nested(stringMatch, 'The method; case matters.'),
    authority: nested(stringMatch, 'The Host header.'),
    headers: map(stringMatch, 'Headers by name in lower case; an empty match means present.', matchedHeaderName),
    port: portNumber('The port that the request was sent to.'),
    sourceLabels: labels('Labels of the workload that sends.'),
    gateways: list(text(''), 'Gateways for which this match is; overrides the list above.'),
    queryParams: map(stringMatch, 'Query parameters by name.'),
    ignoreUriCase: flag('Match exact and prefix paths without regard to case (default false).'),
    withoutHeaders: map(excludedMatch, 'Headers that must not match.', matchedHeaderName),
    sourceNamespace: text('Namespace of the workload that sends.', { format: dnsLabel }),
    statPrefix: text('A prefix for statistics of the route.'),
  },
  { instead: { path: 'uri', host: 'authority', verb: 'method', query: 'queryParams' } },
);

export type HttpMatchRequest = z.infer<typeof httpMatchRequest>;
