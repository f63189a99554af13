// Envoy's rate_limit_quota filter as a record: its branches with what each one's buckets are made of, what a refusal says.
import { toBinary } from '@bufbuild/protobuf';
import { GrpcServiceSchema } from '@lateen/xds-proto/envoy/config/core/v3/grpc_service_pb.js';
import {
  RateLimitQuotaBucketSettings_DenyResponseSettingsSchema as DenyResponseSchema,
  type RateLimitQuotaBucketSettings,
  type RateLimitQuotaBucketSettings_DenyResponseSettings,
  RateLimitQuotaBucketSettingsSchema,
  type RateLimitQuotaFilterConfig,
  RateLimitQuotaFilterConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import * as B from '../../filter-layout.js';
import * as P from '../../table-layout.js';
import { BlobWriter } from '../blob-writer.js';
import { durationMs } from '../duration.js';
import { millionths } from '../fraction.js';
import { writeMatchers } from '../match/matchers.js';
import { type Mutation, readMutations, writeMutations } from '../mutations.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import type { LimitSlots } from './limit-slots.js';
import type { QuotaBranches } from './quota-branches.js';
import { readBucketId, writeParts } from './quota-bucket-id.js';
import { type QuotaRule, readQuotaRules } from './quota-rules.js';
import { readStrategy } from './quota-strategy.js';
import { bucketPart, type Share } from './share.js';

export interface QuotaContext {
  readonly problems: ProblemList;
  readonly slots: LimitSlots;
  readonly branches: QuotaBranches;
  readonly share: Share;
  hashName(name: string): number;
}

const DEFAULT_STATUS = 429;
const MIN_REPORTING_MS = 100;

/** The record's bytes. `name` is the filter's, under which its requests are counted; `tells`: answers to those let through tell the limit. */
export function writeQuotaFilter(
  context: QuotaContext,
  path: string,
  name: string,
  config: RateLimitQuotaFilterConfig,
  tells: boolean,
): Uint8Array {
  const { problems, slots } = context;
  refuseOtherFields(
    problems,
    path,
    RateLimitQuotaFilterConfigSchema,
    config,
    'rlqs_server domain bucket_matchers filter_enabled filter_enforced request_headers_to_add_when_not_enforced',
  );
  if (config.rlqsServer === undefined) problems.add(join(path, 'rlqs_server'), 'is required');
  if (config.domain === '') problems.add(join(path, 'domain'), 'is required');
  const blob = new BlobWriter();
  blob.reserve(B.QUOTA_BYTES);
  const counters = slots.counters(name);
  if (counters === 0) problems.add(path, 'is one rate limit too many for the room that there is');
  blob.int(B.QUOTA_COUNTERS, counters);
  blob.int(
    B.QUOTA_ENABLED,
    config.filterEnabled === undefined ? 1_000_000 : millionths(config.filterEnabled.defaultValue),
  );
  blob.int(
    B.QUOTA_ENFORCED,
    config.filterEnforced === undefined ? 1_000_000 : millionths(config.filterEnforced.defaultValue),
  );
  const request = readMutations(problems, path, 'request', config.requestHeadersToAddWhenNotEnforced, []);
  blob.int(B.QUOTA_MUTATIONS, writeMutations(blob, request, context.hashName));
  blob.int(B.QUOTA_MUTATION_COUNT, request.length);
  const rules = readQuotaRules(problems, join(path, 'bucket_matchers'), config.bucketMatchers);
  const start = blob.reserve(rules.length * B.BRANCH_BYTES);
  blob.int(B.QUOTA_BRANCHES, start);
  blob.int(B.QUOTA_BRANCH_COUNT, rules.length);
  rules.forEach((rule, index) => {
    writeBranch(context, blob, start + index * B.BRANCH_BYTES, rule, config, tells);
  });
  return blob.finish();
}

function writeBranch(
  context: QuotaContext,
  blob: BlobWriter,
  at: number,
  rule: QuotaRule,
  config: RateLimitQuotaFilterConfig,
  tells: boolean,
): void {
  const { problems } = context;
  blob.int(at + B.BRANCH_MATCHERS, writeMatchers(problems, blob, rule.matchers, context.hashName, true));
  blob.int(at + B.BRANCH_MATCHER_COUNT, rule.matchers.length);
  const { settings, path } = rule;
  refuseOtherFields(
    problems,
    path,
    RateLimitQuotaBucketSettingsSchema,
    settings,
    'bucket_id_builder reporting_interval deny_response_settings no_assignment_behavior expired_assignment_behavior',
  );
  const parts = readBucketId(problems, join(path, 'bucket_id_builder'), settings.bucketIdBuilder);
  blob.int(at + B.BRANCH_PARTS, writeParts(blob, parts, context.hashName));
  blob.int(at + B.BRANCH_PART_COUNT, parts.length);
  const keys = parts.map(({ key }) => key);
  blob.int(at + B.BRANCH_ID, branchId(context, path, settings, config, keys));
  const unassigned = settings.noAssignmentBehavior?.noAssignmentBehavior.value;
  const strategy = readStrategy(problems, join(path, 'no_assignment_behavior.fallback_rate_limit'), unassigned);
  blob.int(at + B.BRANCH_STRATEGY, strategy.kind);
  const part = strategy.kind === B.STRATEGY_BUCKET ? bucketPart(strategy, context.share) : strategy;
  blob.long(at + B.BRANCH_INTERVAL, part.interval);
  blob.long(at + B.BRANCH_MAX_TOKENS, part.maxTokens);
  blob.long(at + B.BRANCH_PER_FILL, strategy.perFill);
  writeDenial(context, blob, at, join(path, 'deny_response_settings'), settings.denyResponseSettings, tells);
}

function branchId(
  { problems, branches }: QuotaContext,
  path: string,
  settings: RateLimitQuotaBucketSettings,
  { rlqsServer: service, domain }: RateLimitQuotaFilterConfig,
  keys: readonly string[],
): number {
  const reportingIntervalMs = durationMs(problems, join(path, 'reporting_interval'), settings.reportingInterval, 0);
  if (reportingIntervalMs <= MIN_REPORTING_MS) {
    problems.add(join(path, 'reporting_interval'), `must be more than ${MIN_REPORTING_MS} ms`);
  }
  const expiry = settings.expiredAssignmentBehavior;
  if (expiry?.expiredAssignmentBehavior.case === 'fallbackRateLimit') {
    problems.add(
      join(path, 'expired_assignment_behavior.fallback_rate_limit'),
      'is not supported; use reuse_last_assignment, or leave it out for the behavior without an assignment',
    );
  }
  const expired = expiry?.expiredAssignmentBehavior.case === 'reuseLastAssignment' ? 'reuse' : 'fallback';
  const expiredForMs = durationMs(
    problems,
    join(path, 'expired_assignment_behavior.expired_assignment_behavior_timeout'),
    expiry?.expiredAssignmentBehaviorTimeout,
    0,
  );
  if (service === undefined) return 0;
  const server = Buffer.from(toBinary(GrpcServiceSchema, service)).toString('base64');
  const key = JSON.stringify([server, domain, keys, reportingIntervalMs, expired, expiredForMs]);
  return branches.idOf(key, (id) => ({ id, service, domain, keys, reportingIntervalMs, expired, expiredForMs }));
}

/** Status, text and headers of a refusal; offsets in the policy record are relative to it. */
function writeDenial(
  context: QuotaContext,
  blob: BlobWriter,
  at: number,
  path: string,
  denial: RateLimitQuotaBucketSettings_DenyResponseSettings | undefined,
  tells: boolean,
): void {
  const { problems } = context;
  if (denial !== undefined) {
    // A gRPC client is answered by its protocol's rules whatever the status is.
    refuseOtherFields(problems, path, DenyResponseSchema, denial, 'http_status http_body response_headers_to_add');
  }
  const status = denial?.httpStatus?.code ?? 0;
  blob.int(at + B.BRANCH_STATUS, status < 400 ? DEFAULT_STATUS : status);
  blob.text(at + B.BRANCH_BODY, Buffer.from(denial?.httpBody ?? []).toString('latin1'));
  const response = readMutations(problems, path, 'response', denial?.responseHeadersToAdd ?? [], []);
  const limit = response.find(({ name }) => name === 'ratelimit-limit');
  if (tells && limit !== undefined) blob.text(at + B.BRANCH_TOLD, limit.value);
  const record = new BlobWriter();
  record.reserve(P.POLICY_BYTES);
  const mutations = writeMutations(record, withRoomForSeconds(response), context.hashName);
  record.int(P.POLICY_RESPONSE_MUTATIONS, mutations);
  record.int(P.POLICY_RESPONSE_MUTATION_COUNT, response.length);
  const reply = blob.content(record.finish());
  blob.int(at + B.BRANCH_REPLY, reply);
  response.forEach(({ name }, index) => {
    const place = reply + mutations + index * P.MUTATION_BYTES;
    if (name === 'retry-after') blob.int(at + B.BRANCH_RETRY_AFTER, place);
    else if (name === 'ratelimit-reset' || name === 'x-ratelimit-reset') blob.int(at + B.BRANCH_RESET, place);
  });
}

/** The two that the core writes have a text of their own, long enough for any number. */
function withRoomForSeconds(mutations: readonly Mutation[]): Mutation[] {
  return mutations.map((mutation) => {
    const written = ['retry-after', 'ratelimit-reset', 'x-ratelimit-reset'].includes(mutation.name);
    return written ? { ...mutation, value: mutation.name.slice(0, 1).repeat(B.RETRY_AFTER_BYTES) } : mutation;
  });
}
