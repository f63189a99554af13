// Tests: a rate limit service that speaks Envoy's protocol, answers as it is told, and remembers what it was asked.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import { grpcService } from '@lateen/xds-proto';
import {
  type RateLimitRequest,
  RateLimitResponse_Code,
  RateLimitResponseSchema,
  RateLimitService,
} from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';

export const OK = RateLimitResponse_Code.OK;
export const OVER_LIMIT = RateLimitResponse_Code.OVER_LIMIT;

/** What was asked: the domain, and the entries of each descriptor as `key=value`. */
export interface AskedLimit {
  readonly domain: string;
  readonly descriptors: readonly (readonly string[])[];
}

export interface LimitServer {
  readonly port: number;
  readonly asked: AskedLimit[];
  /** Calls that their client gave up. */
  cancelled: number;
  /** The next answers; undefined: none at all. */
  answer: (asked: AskedLimit) => MessageInitShape<typeof RateLimitResponseSchema> | undefined;
  stop(): void;
}

export async function startLimitServer(credentials = ServerCredentials.createInsecure()): Promise<LimitServer> {
  const server = new Server();
  const shouldRateLimit: handleUnaryCall<RateLimitRequest, unknown> = (call, done) => {
    const { domain, descriptors } = call.request;
    const one: AskedLimit = {
      domain,
      descriptors: descriptors.map(({ entries }) => entries.map(({ key, value }) => `${key}=${value}`)),
    };
    limits.asked.push(one);
    const answer = limits.answer(one);
    if (answer !== undefined) done(null, create(RateLimitResponseSchema, answer));
    // The event comes for calls that were answered as well, once they are over.
    else call.on('cancelled', () => limits.cancelled++);
  };
  server.addService(grpcService(RateLimitService), { shouldRateLimit });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  const limits: LimitServer = {
    port,
    asked: [],
    cancelled: 0,
    answer: () => ({ overallCode: OK }),
    stop: () => server.forceShutdown(),
  };
  return limits;
}
