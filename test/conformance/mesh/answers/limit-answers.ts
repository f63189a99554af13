// Conformance: what a pod answers that is asked as a rate limit service; the words of a case decide.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  RateLimitRequestSchema,
  RateLimitResponse_Code,
  RateLimitResponse_RateLimit_Unit,
  RateLimitResponseSchema,
} from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';

export const SHOULD_RATE_LIMIT = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit';

/** Whether a message of gRPC is compressed, and its length. */
const PREFIX_BYTES = 5;

/**
 * The answer to a message with its prefix, with one too; undefined: none at all. A value `over` is over its limit, of
 * `silent` nothing is known. What was asked is told to the client as `x-asked`, and who has answered to the application as
 * `x-limited-by`.
 */
export function answerLimit(pod: string, message: Buffer): Buffer | undefined {
  const { domain, descriptors } = fromBinary(RateLimitRequestSchema, message.subarray(PREFIX_BYTES));
  const values = descriptors.flatMap(({ entries }) => entries.map(({ value }) => value));
  if (values.includes('silent')) return undefined;
  const over = values.includes('over');
  const told = descriptors.map(({ entries }) => entries.map(({ key, value }) => `${key}=${value}`).join(','));
  const code = over ? RateLimitResponse_Code.OVER_LIMIT : RateLimitResponse_Code.OK;
  const answer = create(RateLimitResponseSchema, {
    overallCode: code,
    statuses: descriptors.map((_, index) => ({
      code,
      currentLimit: { requestsPerUnit: 10 + index, unit: RateLimitResponse_RateLimit_Unit.MINUTE },
      limitRemaining: over ? 0 : 9 - index,
      durationUntilReset: { seconds: BigInt(30 + index) },
    })),
    responseHeadersToAdd: [{ key: 'x-asked', value: `${domain}: ${told.join(' ')}` }],
    requestHeadersToAdd: [{ key: 'x-limited-by', value: pod }],
    rawBody: over ? Buffer.from(`too many for ${pod}`) : new Uint8Array(),
  });
  const bytes = toBinary(RateLimitResponseSchema, answer);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}
