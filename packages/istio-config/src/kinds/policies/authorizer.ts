// Authorizers of MeshConfig: who is asked about requests of policies with action CUSTOM, and what is told both ways.
import type { z } from 'zod';
import { list, map, message, nested, required } from '../../declare/message.js';
import { duration, flag, integer, portNumber, text } from '../../declare/scalars.js';

const requestBody = message('RequestBody', {
  maxRequestBytes: integer('How much of it is told; a longer one is refused with 413, unless a part is enough.', {
    min: 1,
    max: 4_294_967_295,
  }),
  allowPartialMessage: flag('Its beginning is enough (default false).'),
  packAsBytes: flag('As bytes; over gRPC alone (default: as text).'),
});

const shared = {
  service: required(text('Full host name of its service, or NAMESPACE/HOST.', { minLength: 1 })),
  port: required(portNumber('Port of the service.')),
  timeout: duration('How long its answer is waited for (default 600s).', { minMs: 1 }),
  failOpen: flag('Requests go on where it does not answer (default false: they are refused).'),
  clearRouteCache: flag('The route is chosen anew where its answer changes the request (default false).'),
  statusOnError: text('Status of requests that are refused since it does not answer, in quotes (default 403).'),
  includeRequestBodyInCheck: nested(requestBody, 'How much of the body it is told (default: nothing).'),
};

const headerName = text('A name, also `prefix*` or `*suffix`; whatever its case.', { minLength: 1 });

/** `envoyExtAuthzHttp`. */
export const httpAuthorizer = message('EnvoyExternalAuthorizationHttpProvider', {
  ...shared,
  pathPrefix: text('Comes before the path of the request in that of the question.'),
  includeHeadersInCheck: list(headerName, 'Deprecated; includeRequestHeadersInCheck counts where it is set.'),
  includeRequestHeadersInCheck: list(headerName, 'Headers of the request that it is told, beside Authorization.'),
  includeAdditionalHeadersInCheck: map(text(''), 'More headers for it, in place of those of the request.'),
  headersToUpstreamOnAllow: list(headerName, 'Headers of its answer that take the place of those of the request.'),
  headersToDownstreamOnDeny: list(headerName, 'Headers of its answer that a denial tells the client (default: all).'),
  headersToDownstreamOnAllow: list(headerName, 'Headers of its answer that are added to the response.'),
});

/** `envoyExtAuthzGrpc`. */
export const grpcAuthorizer = message('EnvoyExternalAuthorizationGrpcProvider', shared);

export type HttpAuthorizer = z.infer<typeof httpAuthorizer>;
export type GrpcAuthorizer = z.infer<typeof grpcAuthorizer>;
