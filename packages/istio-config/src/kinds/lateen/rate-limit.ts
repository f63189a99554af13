// Kind RateLimit (lateen.io): how many requests a workload or gateway takes, counted by proxy, over the mesh, or by a service outside.

import type { z } from 'zod';
import { destinationHost, dnsLabel, matchedHeaderName, regex, wildcardHost } from '../../declare/formats.js';
import { claimName } from '../../declare/formats-of-tokens.js';
import { list, map, message, nested, required } from '../../declare/message.js';
import { choice, duration, flag, integer, portNumber, text } from '../../declare/scalars.js';
import { workloadSelector } from '../fields/selector.js';
import { stringMatch } from '../fields/string-match.js';

/** A path; a template has `{name}` for one segment and, at its end, `{name...}` for all that follows. */
export const pathMatch = message(
  'PathMatch',
  {
    exact: text('The whole path, without the query.'),
    prefix: text('What it begins with.'),
    regex: text('A regular expression (RE2) for the whole path, without the query.', { format: regex }),
    template: text('A path with `{name}` for a segment, and `{name...}` at the end for the rest; it counts as one.'),
  },
  { exactlyOneOf: [['exact', 'prefix', 'regex', 'template']] },
);

/** Requests that a rule is for. All that is set has to hold. */
export const rateLimitMatch = message(
  'RateLimitMatch',
  {
    path: nested(pathMatch, 'The path.'),
    methods: list(text('', { minLength: 1, maxLength: 32 }), 'Methods, one of which it has to be; case matters.'),
    headers: map(stringMatch, 'Headers by name in lower case; an empty match means present.', matchedHeaderName),
  },
  { instead: { uri: 'path', method: 'methods' } },
);

/** One value by which requests are counted apart. A request that lacks it is not limited by the rule. */
export const rateLimitDescriptor = message(
  'RateLimitDescriptor',
  {
    header: nested(
      message('HeaderDescriptor', { name: required(text('Its name in lower case.', { format: matchedHeaderName })) }),
      "A header's value, of which the first 256 bytes count.",
    ),
    sourceIdentity: nested(message('SourceIdentityDescriptor', {}), "The SPIFFE id of the caller's certificate."),
    clientAddress: nested(
      message('ClientAddressDescriptor', {}),
      'The address of the client; behind trusted proxies that which they name.',
    ),
    method: nested(message('MethodDescriptor', {}), 'The method.'),
    host: nested(message('HostDescriptor', {}), 'The Host header, as it was sent.'),
    jwtClaim: nested(
      message('JwtClaimDescriptor', {
        name: required(
          text('Its name: a nested one with dots, or in brackets (`[a.b][c]`).', { minLength: 1, format: claimName }),
        ),
      }),
      'A claim of the verified token: a text, a number, true or false, of a list the first text.',
    ),
    key: text(
      'What an external service knows it by (default: the name of the header, `remote_address`, `method` or `host`).',
      { minLength: 1, maxLength: 256 },
    ),
  },
  { exactlyOneOf: [['header', 'sourceIdentity', 'clientAddress', 'method', 'host', 'jwtClaim']] },
);

/** How many requests are let through. */
export const rateLimitAmount = message(
  'RateLimitAmount',
  {
    requests: required(integer('So many requests.', { min: 1, max: 1_000_000_000 })),
    per: required(duration('In this time; tokens come back steadily, not all at its end.', { minMs: 100 })),
    burst: integer(
      'So many may come at once (default: all requests of a period that is longer than a second, else a tenth of them).',
      { min: 1, max: 1_000_000_000 },
    ),
  },
  { instead: { unit: 'per', tokens: 'requests', requestsPerUnit: 'requests', fillInterval: 'per' } },
);

/** A service that decides about requests, and speaks Envoy's protocol for it. */
export const externalRateLimit = message(
  'ExternalRateLimit',
  {
    service: required(text('Its host: a Service, or the host of a ServiceEntry.', { format: destinationHost })),
    port: required(portNumber('Its port; gRPC must be spoken on it.')),
    domain: required(text('The domain that it knows these limits by.', { minLength: 1, maxLength: 256 })),
    timeout: duration('So long a request waits for it (default 20ms).'),
    failOpen: flag('Where it gives no answer: true, requests go through (default); false, they are answered 500.'),
    entries: map(
      text('', { minLength: 1, maxLength: 256 }),
      'What it is told before the values of `by` (default: `rule` with the name of the rule).',
    ),
  },
  { instead: { host: 'service', address: 'service', failureModeDeny: 'failOpen', descriptors: 'entries' } },
);

/** What is counted how. */
export const rateLimitRule = message(
  'RateLimitRule',
  {
    name: required(text('Its name, which metrics and logs have.', { format: dnsLabel })),
    match: list(rateLimitMatch, 'Requests that it is for; any one of them has to hold; none: all.', { max: 32 }),
    by: list(rateLimitDescriptor, 'What is counted apart; none: all requests together.', { max: 5 }),
    limit: nested(rateLimitAmount, 'How many requests are let through; required, but not with EXTERNAL.'),
    scope: choice(
      'PROXY: each proxy counts for itself (default); MESH: all proxies together; EXTERNAL: a service is asked.',
      ['PROXY', 'MESH', 'EXTERNAL'],
    ),
    external: nested(externalRateLimit, 'The service of EXTERNAL. It is told one descriptor for each request.'),
    mode: choice('ENFORCE: refuse (default); SHADOW: count, and mark the request with x-lateen-ratelimit-shadow.', [
      'ENFORCE',
      'SHADOW',
    ]),
    response: nested(
      message('RateLimitResponse', {
        status: integer('The status of a refusal (default 429).', { min: 400, max: 599 }),
        body: text('Its text.', { maxLength: 1_024 }),
        headers: choice(
          'REFUSED: refusals say what the limit is, by ratelimit-* (default); ALWAYS: all answers do; NONE: none.',
          ['NONE', 'REFUSED', 'ALWAYS'],
        ),
      }),
      'What a refusal says.',
    ),
  },
  { instead: { limits: 'limit', descriptors: 'by', key: 'by', shadow: 'mode', service: 'external' } },
);

/** The spec of a RateLimit. */
export const rateLimit = message(
  'RateLimit',
  {
    selector: nested(workloadSelector, 'The workloads and gateways that this is for; none: all of the namespace.'),
    hosts: list(text('', { format: wildcardHost }), 'Only requests for these hosts; a Service by any of its names.'),
    rules: required(
      list(rateLimitRule, 'All rules that match a request count; any one may refuse it.', { min: 1, max: 32 }),
    ),
  },
  { instead: { workloadSelector: 'selector', limits: 'rules' } },
);

export type RateLimitSpec = z.infer<typeof rateLimit>;
export type RateLimitRule = z.infer<typeof rateLimitRule>;
export type RateLimitDescriptor = z.infer<typeof rateLimitDescriptor>;
export type RateLimitMatch = z.infer<typeof rateLimitMatch>;
