// Envoy's local_ratelimit filter as an immutable record: its bucket's settings, its counters, what it adds to heads.
import type { HeaderValueOption, RuntimeFractionalPercent } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { XRateLimitHeadersRFCVersion as XRateLimitHeaders } from '@lateen/xds-proto/envoy/extensions/common/ratelimit/v3/ratelimit_pb.js';
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import { type TokenBucket, TokenBucketSchema } from '@lateen/xds-proto/envoy/type/v3/token_bucket_pb.js';
import * as B from '../../filter-layout.js';
import * as P from '../../table-layout.js';
import { BlobWriter } from '../blob-writer.js';
import { millionths } from '../fraction.js';
import { readMutations, writeMutations } from '../mutations.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import type { LimitSlots } from './limit-slots.js';
import { bucketPart, type Share, WHOLE } from './share.js';

/** Envoy's own least interval. */
const MIN_FILL_INTERVAL_MS = 50;
/** Envoy's own limit of the headers of a filter. */
const MAX_HEADERS = 10;
const DEFAULT_STATUS = 429;
/** Credit counts tokens times microseconds, and must fit a signed 64-bit number with room to add. */
const MAX_CREDIT = 2n ** 62n;

export interface RateLimitContext {
  readonly problems: ProblemList;
  readonly slots: LimitSlots;
  readonly share: Share;
  readonly nowMs: number;
  hashName(name: string): number;
}

/**
 * The record's bytes; undefined where the configuration limits nothing, which is only allowed at the listener.
 * @param bucketName what its tokens are kept under
 */
export function writeRateLimit(
  context: RateLimitContext,
  path: string,
  config: LocalRateLimit,
  bucketName: string,
  place: 'listener' | 'route',
): Uint8Array | undefined {
  const { problems, slots } = context;
  refuseOtherFields(
    problems,
    path,
    LocalRateLimitSchema,
    config,
    `stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced
     response_headers_to_add stage local_rate_limit_per_downstream_connection always_consume_default_token_bucket enable_x_ratelimit_headers`,
  );
  if (config.statPrefix === '') problems.add(join(path, 'stat_prefix'), 'is required');
  if (config.tokenBucket === undefined) {
    if (place === 'route') problems.add(join(path, 'token_bucket'), 'is required here');
    else if (config.filterEnabled !== undefined)
      problems.add(join(path, 'token_bucket'), 'is required where filter_enabled is set');
    return undefined;
  }
  const blob = new BlobWriter();
  blob.reserve(B.LIMIT_BYTES);
  // A connection is one process's alone.
  const share = config.localRateLimitPerDownstreamConnection ? WHOLE : context.share;
  writeBucket(problems, blob, join(path, 'token_bucket'), config.tokenBucket, share);
  blob.int(B.LIMIT_BUCKET, taken(problems, path, slots.bucket(bucketName, context.nowMs)));
  blob.int(B.LIMIT_COUNTERS, taken(problems, path, slots.counters(config.statPrefix)));
  // Without the fields nothing is looked at and nothing enforced.
  blob.int(B.LIMIT_ENABLED, fraction(config.filterEnabled));
  blob.int(B.LIMIT_ENFORCED, fraction(config.filterEnforced));
  // As Envoy: only an error can be the status of a refusal.
  const status = config.status?.code ?? 0;
  blob.int(B.LIMIT_STATUS, status < 400 ? DEFAULT_STATUS : status);
  blob.int(B.LIMIT_PER_CONNECTION, Number(config.localRateLimitPerDownstreamConnection));
  blob.int(B.LIMIT_TELLS, Number(config.enableXRatelimitHeaders === XRateLimitHeaders.DRAFT_VERSION_03));
  for (const field of ['request_headers_to_add_when_not_enforced', 'response_headers_to_add'] as const) {
    const count = (
      field === 'response_headers_to_add' ? config.responseHeadersToAdd : config.requestHeadersToAddWhenNotEnforced
    ).length;
    if (count > MAX_HEADERS)
      problems.add(join(path, field), `has ${count} headers; at most ${MAX_HEADERS} are allowed`);
  }
  const request = readMutations(problems, path, 'request', config.requestHeadersToAddWhenNotEnforced, []);
  blob.int(B.LIMIT_MUTATIONS, writeMutations(blob, request, context.hashName));
  blob.int(B.LIMIT_MUTATION_COUNT, request.length);
  blob.int(B.LIMIT_REPLY, blob.content(compileReplyHeaders(context, path, config.responseHeadersToAdd)));
  return blob.finish();
}

/** A policy record with nothing but the headers of a refusal. */
export function compileReplyHeaders(
  context: Pick<RateLimitContext, 'problems' | 'hashName'>,
  path: string,
  headers: readonly HeaderValueOption[],
): Uint8Array {
  const response = readMutations(context.problems, path, 'response', headers, []);
  // Offsets of mutations, and of their texts, are relative to the policy.
  const record = new BlobWriter();
  record.reserve(P.POLICY_BYTES);
  record.int(P.POLICY_RESPONSE_MUTATIONS, writeMutations(record, response, context.hashName));
  record.int(P.POLICY_RESPONSE_MUTATION_COUNT, response.length);
  return record.finish();
}

function writeBucket(problems: ProblemList, blob: BlobWriter, path: string, bucket: TokenBucket, share: Share): void {
  refuseOtherFields(problems, path, TokenBucketSchema, bucket, 'max_tokens tokens_per_fill fill_interval');
  const { fillInterval } = bucket;
  const interval = (fillInterval?.seconds ?? 0n) * 1_000_000n + BigInt(Math.floor((fillInterval?.nanos ?? 0) / 1000));
  const perFill = bucket.tokensPerFill ?? 1;
  if (bucket.maxTokens === 0) problems.add(join(path, 'max_tokens'), 'must be greater than 0');
  if (perFill === 0) problems.add(join(path, 'tokens_per_fill'), 'must be greater than 0');
  if (interval < BigInt(MIN_FILL_INTERVAL_MS * 1000)) {
    problems.add(join(path, 'fill_interval'), `must be at least ${MIN_FILL_INTERVAL_MS} ms`);
  }
  const part = bucketPart({ maxTokens: BigInt(bucket.maxTokens), interval }, share);
  if (part.maxTokens * part.interval > MAX_CREDIT) {
    problems.add(path, 'holds too many tokens for so long an interval; make one of them smaller');
    return;
  }
  blob.long(B.LIMIT_INTERVAL, part.interval);
  blob.long(B.LIMIT_MAX_TOKENS, part.maxTokens);
  blob.long(B.LIMIT_PER_FILL, BigInt(perFill));
}

function fraction(percent: RuntimeFractionalPercent | undefined): number {
  return percent === undefined ? 0 : Math.max(millionths(percent.defaultValue), 0);
}

function taken(problems: ProblemList, path: string, place: number): number {
  if (place === 0) problems.add(path, 'is one rate limit too many for the room that there is');
  return place;
}
