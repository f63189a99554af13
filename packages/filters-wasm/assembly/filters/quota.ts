// Quotas (envoy.extensions.filters.http.rate_limit_quota.v3): the bucket of a request by what its id is made of, and a token
// from it. Who assigns quotas is the embedder's business; until it has, the filter's own strategy counts.
import {
  CONNECTION_PRINCIPAL_LENGTH, CONNECTION_PRINCIPAL_OFFSET, LISTENER_QUOTAS, LISTENER_QUOTA_COUNT,
} from '../../src/layout';
import {
  BRANCH_BODY, BRANCH_BODY_LENGTH, BRANCH_BYTES, BRANCH_ID, BRANCH_INTERVAL, BRANCH_MATCHERS, BRANCH_MATCHER_COUNT,
  BRANCH_MAX_TOKENS, BRANCH_PARTS, BRANCH_PART_COUNT, BRANCH_PER_FILL, BRANCH_REPLY, BRANCH_RESET,
  BRANCH_RETRY_AFTER, BRANCH_STATUS, BRANCH_STRATEGY, BRANCH_TOLD, BRANCH_TOLD_LENGTH, BUCKET_CREDIT, BUCKET_FILLED_AT, BUCKET_INTERVAL,
  BUCKET_MAX_TOKENS, BUCKET_PER_FILL, COUNTER_ENABLED, COUNTER_ENFORCED, COUNTER_OK, COUNTER_RATE_LIMITED,
  MAX_PART_BYTES, MAX_RETRY_AFTER_S, PART_ADDRESS, PART_BYTES, PART_CONSTANT, PART_HASH, PART_HEADER, PART_KIND,
  PART_CLAIM, PART_PRINCIPAL, PART_PSEUDO, PART_TEXT, PART_TEXT_LENGTH, QUOTA_BRANCHES, QUOTA_BRANCH_COUNT, QUOTA_BUCKETS,
  QUOTA_BUCKET_ALLOWED, QUOTA_BUCKET_BRANCH, QUOTA_BUCKET_BYTES, QUOTA_BUCKET_COUNT, QUOTA_BUCKET_DENIED,
  QUOTA_BUCKET_KEY, QUOTA_BUCKET_STRATEGY, QUOTA_BUCKET_TOKENS, QUOTA_BUCKET_USED_AT, QUOTA_COUNTERS, QUOTA_ENABLED,
  QUOTA_ENFORCED, QUOTA_EXCEEDED, QUOTA_EXCEEDED_COUNT, QUOTA_KEY_TEXT, QUOTA_MADE, QUOTA_MADE_COUNT,
  QUOTA_REPLY_BODY, QUOTA_REPLY_BODY_LENGTH, QUOTA_REPLY_POLICY, QUOTA_TOLD, QUOTA_TOLD_LEFT, QUOTA_TOLD_LENGTH,
  QUOTA_TOLD_RESET, QUOTA_TOLD_TEXT, QUOTA_UNASSIGNED, STRATEGY_ALLOW, STRATEGY_BUCKET,
} from '../../src/filter-layout';
import { MUTATION_VALUE_LENGTH, MUTATION_VALUE_OFFSET } from '../../src/table-layout';
import { random64, randomBelow } from '../random';
import { putBytes, putNumber } from '../texts';
import { CLAIM_BOOL, CLAIM_ITEM, CLAIM_NUMBER, CLAIM_STRING } from '../../src/claims/claims-layout';
import { claimAt, claimLength, nextClaim } from '../decide/claims';
import { addressAt, addressLength, findClientAddress } from '../decide/client-address';
import { findRequestValue, foundAt, foundLength, matchHeaders } from '../decide/header-match';
import { count, takeFromBucket } from './rate-limit';

/** Buckets are searched so far from the place of their hash. */
const PROBES = 16;
/** Nobody outside can choose values that fall together. */
let hashSeed: u64 = 0;
/** Where the next id's text goes. */
let keyEnd: i32 = 0;

/** See core-functions.ts. */
export function chargeQuotas(listener: i32, connection: i32, secure: i32, nowMs: f64): i32 {
  store<i32>(QUOTA_MADE_COUNT, 0);
  store<i32>(QUOTA_EXCEEDED_COUNT, 0);
  store<i32>(QUOTA_TOLD, 0);
  keyEnd = QUOTA_KEY_TEXT;
  const filters = load<i32>(listener + LISTENER_QUOTA_COUNT);
  for (let i = 0; i < filters; i++) {
    const quota = listener + load<i32>(listener + load<i32>(listener + LISTENER_QUOTAS) + (i << 2));
    if (randomBelow(1000000) >= load<i32>(quota + QUOTA_ENABLED)) continue;
    const status = charge(listener, quota, connection, secure, nowMs);
    if (status != 0) return status;
  }
  return 0;
}

/** The first branch that matches decides; where its bucket has no id for the request, nothing is limited. */
function charge(listener: i32, quota: i32, connection: i32, secure: i32, nowMs: f64): i32 {
  let branch = quota + load<i32>(quota + QUOTA_BRANCHES);
  let left = load<i32>(quota + QUOTA_BRANCH_COUNT);
  while (left > 0) {
    const matchers = quota + load<i32>(branch + BRANCH_MATCHERS);
    if (matchHeaders(quota, matchers, load<i32>(branch + BRANCH_MATCHER_COUNT), secure)) break;
    branch += BRANCH_BYTES;
    left--;
  }
  if (left == 0 || load<i32>(branch + BRANCH_PART_COUNT) == 0) return 0;
  const key = keyEnd;
  const end = putId(listener, quota, branch, connection, secure);
  if (end == 0) return 0;
  const counters = load<i32>(quota + QUOTA_COUNTERS);
  count(counters + COUNTER_ENABLED);
  const bucket = bucketOf(branch, key, end, nowMs);
  store<f64>(bucket + QUOTA_BUCKET_USED_AT, nowMs);
  if (allows(bucket, branch, <i64>(nowMs * 1000))) {
    count(counters + COUNTER_OK);
    count(bucket + QUOTA_BUCKET_ALLOWED);
    if (load<i32>(branch + BRANCH_TOLD_LENGTH) != 0) noteLeft(quota, branch, bucket);
    return 0;
  }
  count(counters + COUNTER_RATE_LIMITED);
  count(bucket + QUOTA_BUCKET_DENIED);
  if (randomBelow(1000000) >= load<i32>(quota + QUOTA_ENFORCED)) {
    const noted = load<i32>(QUOTA_EXCEEDED_COUNT);
    store<i32>(QUOTA_EXCEEDED + (noted << 2), quota);
    store<i32>(QUOTA_EXCEEDED_COUNT, noted + 1);
    return 0;
  }
  count(counters + COUNTER_ENFORCED);
  noteRefusal(quota, branch, bucket);
  return load<i32>(branch + BRANCH_STATUS);
}

/** Writes what the bucket's id is made of; its end, or 0 where the request lacks a part. */
function putId(listener: i32, quota: i32, branch: i32, connection: i32, secure: i32): i32 {
  let at = keyEnd;
  let part = quota + load<i32>(branch + BRANCH_PARTS);
  for (let left = load<i32>(branch + BRANCH_PART_COUNT); left > 0; left--) {
    const kind = load<i32>(part + PART_KIND);
    const text = quota + load<i32>(part + PART_TEXT);
    let from = text;
    let length = load<i32>(part + PART_TEXT_LENGTH);
    if (kind == PART_HEADER) {
      if (!findRequestValue(load<i32>(part + PART_PSEUDO), text, length, load<i32>(part + PART_HASH), secure)) return 0;
      from = foundAt;
      length = foundLength;
    } else if (kind == PART_PRINCIPAL) {
      length = connection == 0 ? 0 : load<i32>(connection + CONNECTION_PRINCIPAL_LENGTH);
      from = load<i32>(connection + CONNECTION_PRINCIPAL_OFFSET);
    } else if (kind == PART_ADDRESS) {
      if (!findClientAddress(listener, connection)) return 0;
      from = addressAt;
      length = addressLength;
    } else if (kind == PART_CLAIM) {
      if (nextClaim(0, text, length, CLAIM_STRING | CLAIM_ITEM | CLAIM_NUMBER | CLAIM_BOOL) == 0) return 0;
      from = claimAt;
      length = claimLength;
    }
    // An empty value is none: a report could not name it.
    if (length == 0) return 0;
    if (length > MAX_PART_BYTES) length = MAX_PART_BYTES;
    store<i32>(at, length);
    putBytes(at + 4, from, length);
    // The rest of the last word is zero, so that equal ids are equal words.
    const padded = at + 4 + ((length + 3) & ~3);
    for (let rest = at + 4 + length; rest < padded; rest++) store<u8>(rest, 0);
    at = padded;
    part += PART_BYTES;
  }
  return at;
}

/** The bucket with this id: the one there is, or a new one in a free place or in that which was used longest ago. */
function bucketOf(branch: i32, key: i32, end: i32, nowMs: f64): i32 {
  const hash = hashOf(load<i32>(branch + BRANCH_ID), key, end);
  const first = <i32>(hash & (QUOTA_BUCKET_COUNT - 1));
  let chosen = 0;
  for (let i = 0; i < PROBES; i++) {
    const bucket = QUOTA_BUCKETS + ((first + i) & (QUOTA_BUCKET_COUNT - 1)) * QUOTA_BUCKET_BYTES;
    const found = load<u64>(bucket + QUOTA_BUCKET_KEY);
    if (found == hash) return bucket;
    if (found == 0) {
      chosen = bucket;
      break;
    }
    if (chosen == 0 || load<f64>(bucket + QUOTA_BUCKET_USED_AT) < load<f64>(chosen + QUOTA_BUCKET_USED_AT)) chosen = bucket;
  }
  memory.fill(chosen, 0, QUOTA_BUCKET_BYTES);
  store<u64>(chosen + QUOTA_BUCKET_KEY, hash);
  store<i32>(chosen + QUOTA_BUCKET_BRANCH, load<i32>(branch + BRANCH_ID));
  store<i32>(chosen + QUOTA_BUCKET_STRATEGY, QUOTA_UNASSIGNED);
  const made = load<i32>(QUOTA_MADE_COUNT);
  store<i32>(QUOTA_MADE + (made << 3), chosen);
  store<i32>(QUOTA_MADE + (made << 3) + 4, key);
  store<i32>(QUOTA_MADE_COUNT, made + 1);
  keyEnd = end;
  return chosen;
}

function hashOf(branchId: i32, key: i32, end: i32): u64 {
  if (hashSeed == 0) hashSeed = random64() | 1;
  let hash = hashSeed ^ <u64>branchId;
  for (let at = key; at < end; at += 4) {
    hash = (hash ^ <u64>load<u32>(at)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  hash = (hash ^ (hash >> 29)) * 0xbf58476d1ce4e5b9;
  hash ^= hash >> 32;
  return hash == 0 ? 1 : hash;
}

function allows(bucket: i32, branch: i32, now: i64): bool {
  let strategy = load<i32>(bucket + QUOTA_BUCKET_STRATEGY);
  const tokens = bucket + QUOTA_BUCKET_TOKENS;
  if (strategy == QUOTA_UNASSIGNED) {
    strategy = load<i32>(branch + BRANCH_STRATEGY);
    if (strategy == STRATEGY_BUCKET) adopt(tokens, branch, now);
  }
  if (strategy != STRATEGY_BUCKET) return strategy == STRATEGY_ALLOW;
  return takeFromBucket(tokens, load<i64>(tokens + BUCKET_INTERVAL), now);
}

/** Takes over the settings of the filter: a new bucket is full, one in use keeps its whole tokens. */
function adopt(tokens: i32, branch: i32, now: i64): void {
  const before = load<i64>(tokens + BUCKET_INTERVAL);
  const interval = load<i64>(branch + BRANCH_INTERVAL);
  const maxTokens = load<i64>(branch + BRANCH_MAX_TOKENS);
  const perFill = load<i64>(branch + BRANCH_PER_FILL);
  if (
    before == interval && load<i64>(tokens + BUCKET_MAX_TOKENS) == maxTokens &&
    load<i64>(tokens + BUCKET_PER_FILL) == perFill
  ) return;
  const held = before == 0 ? maxTokens : min<i64>(load<i64>(tokens + BUCKET_CREDIT) / before, maxTokens);
  store<i64>(tokens + BUCKET_CREDIT, held * interval);
  store<i64>(tokens + BUCKET_FILLED_AT, now);
  store<i64>(tokens + BUCKET_INTERVAL, interval);
  store<i64>(tokens + BUCKET_MAX_TOKENS, maxTokens);
  store<i64>(tokens + BUCKET_PER_FILL, perFill);
}

/** What answers say of the limit, unless another one is tighter. */
function noteLeft(quota: i32, branch: i32, bucket: i32): void {
  let strategy = load<i32>(bucket + QUOTA_BUCKET_STRATEGY);
  if (strategy == QUOTA_UNASSIGNED) strategy = load<i32>(branch + BRANCH_STRATEGY);
  if (strategy != STRATEGY_BUCKET) return;
  const tokens = bucket + QUOTA_BUCKET_TOKENS;
  const interval = load<i64>(tokens + BUCKET_INTERVAL);
  const perFill = load<i64>(tokens + BUCKET_PER_FILL);
  if (interval <= 0 || perFill <= 0) return;
  const credit = load<i64>(tokens + BUCKET_CREDIT);
  const left = credit / interval;
  if (load<i32>(QUOTA_TOLD) != 0 && left >= <i64>load<i32>(QUOTA_TOLD_LEFT)) return;
  const missing = load<i64>(tokens + BUCKET_MAX_TOKENS) * interval - credit;
  const wait = (missing + perFill * 1000000 - 1) / (perFill * 1000000);
  store<i32>(QUOTA_TOLD, 1);
  store<i32>(QUOTA_TOLD_TEXT, quota + load<i32>(branch + BRANCH_TOLD));
  store<i32>(QUOTA_TOLD_LENGTH, load<i32>(branch + BRANCH_TOLD_LENGTH));
  store<i32>(QUOTA_TOLD_LEFT, <i32>left);
  store<i32>(QUOTA_TOLD_RESET, wait > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : <i32>wait);
}

/** What the refusal says; `retry-after` is when the bucket has a token again. */
function noteRefusal(quota: i32, branch: i32, bucket: i32): void {
  store<i32>(QUOTA_REPLY_POLICY, quota + load<i32>(branch + BRANCH_REPLY));
  store<i32>(QUOTA_REPLY_BODY, quota + load<i32>(branch + BRANCH_BODY));
  store<i32>(QUOTA_REPLY_BODY_LENGTH, load<i32>(branch + BRANCH_BODY_LENGTH));
  const tokens = bucket + QUOTA_BUCKET_TOKENS;
  const perFill = load<i64>(tokens + BUCKET_PER_FILL);
  let seconds: i32 = 1;
  if (perFill > 0) {
    const missing = load<i64>(tokens + BUCKET_INTERVAL) - load<i64>(tokens + BUCKET_CREDIT);
    const wait = missing / perFill / 1000000 + 1;
    seconds = wait > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : wait < 1 ? 1 : <i32>wait;
  }
  putSeconds(quota, branch + BRANCH_RETRY_AFTER, seconds);
  putSeconds(quota, branch + BRANCH_RESET, seconds);
}

/** The value's room is the mutation's own (RETRY_AFTER_BYTES). Texts of a policy are relative to it. */
function putSeconds(quota: i32, field: i32, seconds: i32): void {
  const place = load<i32>(field);
  if (place == 0) return;
  const mutation = quota + place;
  const text = load<i32>(QUOTA_REPLY_POLICY) + load<i32>(mutation + MUTATION_VALUE_OFFSET);
  store<i32>(mutation + MUTATION_VALUE_LENGTH, putNumber(text, seconds) - text);
}
