// Tests: an authorizer that speaks Envoy's protocol, over gRPC and over HTTP, answers as it is told, and remembers what it was asked.

import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  Authorization,
  type CheckRequest,
  CheckResponseSchema,
} from '@lateen/xds-proto/envoy/service/auth/v3/external_auth_pb.js';

export interface GrpcAuthorizer {
  readonly port: number;
  readonly asked: CheckRequest[];
  /** Calls that their client gave up. */
  cancelled: number;
  /** The next answers; undefined: none at all. */
  answer: (asked: CheckRequest) => MessageInitShape<typeof CheckResponseSchema> | undefined;
  stop(): void;
}

export async function startGrpcAuthorizer(): Promise<GrpcAuthorizer> {
  const server = new Server();
  const check: handleUnaryCall<CheckRequest, unknown> = (call, done) => {
    authorizer.asked.push(call.request);
    const answer = authorizer.answer(call.request);
    if (answer !== undefined) done(null, create(CheckResponseSchema, answer));
    else call.on('cancelled', () => authorizer.cancelled++);
  };
  server.addService(grpcService(Authorization), { check });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const authorizer: GrpcAuthorizer = {
    port,
    asked: [],
    cancelled: 0,
    answer: () => ({}),
    stop: () => server.forceShutdown(),
  };
  return authorizer;
}

export interface AskedByHttp {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface HttpAuthorizer {
  readonly port: number;
  readonly asked: AskedByHttp[];
  answer: (asked: AskedByHttp) => {
    readonly status: number;
    readonly headers?: Readonly<Record<string, string | string[]>>;
    readonly body?: string;
  };
  stop(): void;
}

export async function startHttpAuthorizer(): Promise<HttpAuthorizer> {
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    const one = { method: request.method ?? '', path: request.url ?? '', headers: request.headers, body };
    authorizer.asked.push(one);
    const { status, headers = {}, body: text = '' } = authorizer.answer(one);
    response.writeHead(status, headers as Record<string, string>).end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const authorizer: HttpAuthorizer = {
    port: (server.address() as AddressInfo).port,
    asked: [],
    answer: () => ({ status: 200 }),
    stop: () => server.close().closeAllConnections(),
  };
  return authorizer;
}
