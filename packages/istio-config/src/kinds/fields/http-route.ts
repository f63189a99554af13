// Fields: one rule for HTTP requests.
import type { z } from 'zod';
import { corsHeaderName, dnsLabel, regex } from '../../declare/formats.js';
import { list, message, nested, required } from '../../declare/message.js';
import { choice, duration, flag, integer, portNumber, text } from '../../declare/scalars.js';
import { destination, httpRouteDestination, percent } from './destination.js';
import { headers } from './headers.js';
import { httpMatchRequest } from './http-match.js';
import { stringMatch } from './string-match.js';

/** Answers with a redirect. */
export const httpRedirect = message(
  'HTTPRedirect',
  {
    uri: text('The new path (with a query, that too).'),
    authority: text('The new host.'),
    port: portNumber('The new port.'),
    derivePort: choice('The new port is that of the protocol, or that of the request.', [
      'FROM_PROTOCOL_DEFAULT',
      'FROM_REQUEST_PORT',
    ]),
    scheme: text('http or https.'),
    redirectCode: integer('301 (the default), 302, 303, 307 or 308.'),
  },
  { atMostOneOf: [['port', 'derivePort']] },
);

/** A body that is sent as it is. */
export const httpBody = message(
  'HTTPBody',
  { string: text('The body as text.'), bytes: text('The body in base64.') },
  { exactlyOneOf: [['string', 'bytes']] },
);

/** Answers with a fixed response. */
export const httpDirectResponse = message('HTTPDirectResponse', {
  status: required(integer('The status code, from 200 to 599.')),
  body: nested(httpBody, 'The body; none where absent.'),
});

/** Hands the rule over to another VirtualService. */
export const delegate = message('Delegate', {
  name: text('Its name.'),
  namespace: text('Its namespace; default: the own one.', { format: dnsLabel }),
});

/** Rewrites by a regular expression. */
export const regexRewrite = message('RegexRewrite', {
  match: text('A regular expression (RE2) for parts of the path.', { format: regex }),
  rewrite: text(String.raw`What takes their place; \1 is the first group.`),
});

/** Changes path and host before forwarding. */
export const httpRewrite = message(
  'HTTPRewrite',
  {
    uri: text('The new path; with a prefix match, what takes the place of the prefix.'),
    authority: text('The new Host header.'),
    uriRegexRewrite: nested(regexRewrite, 'Rewrites parts of the path.'),
  },
  { atMostOneOf: [['uri', 'uriRegexRewrite']] },
);

/** Tries failed requests again. */
export const httpRetry = message(
  'HTTPRetry',
  {
    attempts: integer('How often a failed request is tried again; 0 turns retries off (default 2).'),
    perTryTimeout: duration('Limit for each try (default: the timeout of the route).'),
    retryOn: text(
      'Comma-separated conditions and status codes (default connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes).',
    ),
    retryRemoteLocalities: flag('Whether tries may go to other localities (default false).'),
    retryIgnorePreviousHosts: flag('Whether a try avoids the hosts tried before (default true).'),
    backoff: duration('Least time between tries, doubled each time, with jitter (default 25ms).'),
  },
  { instead: { count: 'attempts', timeout: 'perTryTimeout' } },
);

/** Delays requests on purpose. */
export const faultDelay = message(
  'Delay',
  {
    percent: integer('Before percentage.', { max: 100 }),
    fixedDelay: duration('How long.'),
    exponentialDelay: duration('Not implemented by Istio either.'),
    percentage: nested(percent, 'How many of the requests.'),
  },
  { atMostOneOf: [['fixedDelay', 'exponentialDelay']] },
);

/** Fails requests on purpose. */
export const faultAbort = message(
  'Abort',
  {
    httpStatus: integer('The status code.', { min: 200, max: 599 }),
    grpcStatus: text('The gRPC status, such as UNAVAILABLE.'),
    http2Error: text('Not implemented by Istio either.'),
    percentage: nested(percent, 'How many of the requests.'),
  },
  { atMostOneOf: [['httpStatus', 'grpcStatus', 'http2Error']] },
);

/** Faults injected at the client's side. */
export const httpFaultInjection = message('HTTPFaultInjection', {
  delay: nested(faultDelay, 'Delays before forwarding.'),
  abort: nested(faultAbort, 'Answers with an error in place of forwarding.'),
});

/** Copies requests to another service; its answers are dropped. */
export const httpMirrorPolicy = message('HTTPMirrorPolicy', {
  destination: required(nested(destination, 'The service.')),
  percentage: nested(percent, 'How many of the requests (default all).'),
});

/** Cross-origin resource sharing. */
export const corsPolicy = message('CorsPolicy', {
  allowOrigin: list(text(''), 'Before allowOrigins.'),
  allowOrigins: list(stringMatch, 'Origins that are allowed.'),
  allowMethods: list(text(''), 'Methods that are allowed.'),
  allowHeaders: list(text('', { format: corsHeaderName }), 'Request headers that are allowed.'),
  exposeHeaders: list(text('', { format: corsHeaderName }), 'Response headers that scripts may read.'),
  maxAge: duration('How long a preflight answer may be kept.', { minMs: 0 }),
  allowCredentials: flag('Whether credentials may be sent.'),
  unmatchedPreflights: choice('What happens to preflights of other origins (default FORWARD).', [
    'UNSPECIFIED',
    'FORWARD',
    'IGNORE',
  ]),
});

/** One rule for HTTP requests: what it matches and what happens to it. */
export const httpRoute = message(
  'HTTPRoute',
  {
    name: text('A name, for logs and debugging.'),
    match: list(httpMatchRequest, 'Which requests; none: all.'),
    route: list(httpRouteDestination, 'Where they go, by weight.'),
    redirect: nested(httpRedirect, 'A redirect in place of forwarding.'),
    directResponse: nested(httpDirectResponse, 'A fixed answer in place of forwarding.'),
    delegate: nested(delegate, 'Another VirtualService that goes on with the request.'),
    rewrite: nested(httpRewrite, 'Changes to path and host.'),
    timeout: duration('Limit for the whole exchange (default none).'),
    retries: nested(httpRetry, 'What is tried again (default 2 attempts).'),
    fault: nested(httpFaultInjection, 'Faults on purpose.'),
    mirror: nested(destination, 'A service that gets a copy (before mirrors).'),
    mirrors: list(httpMirrorPolicy, 'Services that get a copy.'),
    mirrorPercent: integer('Before mirrorPercentage.', { max: 100 }),
    mirror_percent: integer('Before mirrorPercentage.', { max: 100 }),
    mirrorPercentage: nested(percent, 'How many of the requests `mirror` gets.'),
    corsPolicy: nested(corsPolicy, 'Cross-origin resource sharing.'),
    headers: nested(headers, 'Changes to headers.'),
  },
  { instead: { matches: 'match', routes: 'route', retry: 'retries', destination: 'route[].destination' } },
);

export type HttpRoute = z.infer<typeof httpRoute>;
export type HttpRedirect = z.infer<typeof httpRedirect>;
export type HttpDirectResponse = z.infer<typeof httpDirectResponse>;
export type HttpRewrite = z.infer<typeof httpRewrite>;
export type HttpRetry = z.infer<typeof httpRetry>;
