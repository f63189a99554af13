// Local rate limits (envoy.extensions.filters.http.local_ratelimit.v3): token buckets that fill steadily, counted in whole
// microseconds. A request's limits are those of the listener's filters, or what its route or virtual host has in their place.
import { LISTENER_LIMITS, LISTENER_LIMIT_COUNT } from '../../src/layout';
import {
  BUCKET_CREDIT, BUCKET_FILLED_AT, BUCKET_INTERVAL, BUCKET_MAX_TOKENS, BUCKET_PER_FILL, CHARGE_NEEDS_BUCKET,
  COUNTER_ENABLED, COUNTER_ENFORCED, COUNTER_OK, COUNTER_RATE_LIMITED, LIMIT_BUCKET,
  LIMIT_COUNTERS, LIMIT_ENABLED, LIMIT_ENFORCED, LIMIT_INTERVAL, LIMIT_MAX_TOKENS, LIMIT_PER_CONNECTION,
  LIMIT_PER_FILL, LIMIT_REPLY, LIMIT_STATUS, LIMIT_TELLS, LIMIT_TOLD, LIMIT_TOLD_LEFT, LIMIT_TOLD_MAX, LIMIT_TOLD_RESET,
  MAX_RATE_LIMIT_FILTERS, MAX_RETRY_AFTER_S, ROUTE_LIMITED, ROUTE_LIMITED_COUNT,
  ROUTE_LIMIT_POLICY,
} from '../../src/filter-layout';
import { FILTER_ENTRY_BYTES } from '../../src/table-layout';
import { randomBelow } from '../random';
import { routeConfigOf } from './filter-config';

/** See core-functions.ts. */
export function chargeLimits(listener: i32, connectionBucket: i32, nowMs: f64): i32 {
  const count = load<i32>(listener + LISTENER_LIMIT_COUNT);
  if (connectionBucket == 0) {
    for (let i = 0; i < count; i++) {
      const limit = limitOf(listener, i);
      if (limit != 0 && load<i32>(limit + LIMIT_PER_CONNECTION) != 0) return CHARGE_NEEDS_BUCKET;
    }
  }
  store<i32>(LIMIT_TOLD, 0);
  const now = <i64>(nowMs * 1000);
  for (let i = 0; i < count; i++) {
    const limit = limitOf(listener, i);
    if (limit == 0) continue;
    const status = charge(limit, connectionBucket, now);
    if (status != 0) return status;
  }
  return 0;
}

/** The limit of the listener's filter `index` for the request at hand, 0 = none: the route's, the host's, the filter's own. */
function limitOf(listener: i32, index: i32): i32 {
  const entry = listener + load<i32>(listener + LISTENER_LIMITS) + index * FILTER_ENTRY_BYTES;
  const limit = routeConfigOf(load<i32>(entry));
  if (limit >= 0) return limit;
  const own = load<i32>(entry + 4);
  return own == 0 ? 0 : listener + own;
}

/** Takes a token; the status to answer with, or 0. */
function charge(limit: i32, connectionBucket: i32, now: i64): i32 {
  if (randomBelow(1000000) >= load<i32>(limit + LIMIT_ENABLED)) return 0;
  const counters = load<i32>(limit + LIMIT_COUNTERS);
  count(counters + COUNTER_ENABLED);
  const ofConnection = load<i32>(limit + LIMIT_PER_CONNECTION) != 0 && connectionBucket > 0;
  const bucket = ofConnection ? connectionBucket : load<i32>(limit + LIMIT_BUCKET);
  const allowed = takeToken(bucket, limit, ofConnection, now);
  if (load<i32>(limit + LIMIT_TELLS) != 0) noteLeft(bucket);
  if (allowed) {
    count(counters + COUNTER_OK);
    return 0;
  }
  count(counters + COUNTER_RATE_LIMITED);
  if (randomBelow(1000000) >= load<i32>(limit + LIMIT_ENFORCED)) {
    const noted = load<i32>(ROUTE_LIMITED_COUNT);
    if (noted < MAX_RATE_LIMIT_FILTERS) {
      store<i32>(ROUTE_LIMITED + (noted << 2), limit);
      store<i32>(ROUTE_LIMITED_COUNT, noted + 1);
    }
    return 0;
  }
  count(counters + COUNTER_ENFORCED);
  store<i32>(ROUTE_LIMIT_POLICY, limit + load<i32>(limit + LIMIT_REPLY));
  return load<i32>(limit + LIMIT_STATUS);
}

/** What answers say of the bucket, unless another one is tighter. */
function noteLeft(bucket: i32): void {
  const interval = load<i64>(bucket + BUCKET_INTERVAL);
  const credit = load<i64>(bucket + BUCKET_CREDIT);
  const left = credit / interval;
  if (load<i32>(LIMIT_TOLD) != 0 && left >= <i64>load<i32>(LIMIT_TOLD_LEFT)) return;
  // As Envoy: where there is a token nobody has to wait.
  const perSecond = load<i64>(bucket + BUCKET_PER_FILL) * 1000000;
  const wait: i64 = left > 0 ? 0 : (interval - credit + perSecond - 1) / perSecond;
  store<i32>(LIMIT_TOLD, 1);
  store<i32>(LIMIT_TOLD_MAX, <i32>load<i64>(bucket + BUCKET_MAX_TOKENS));
  store<i32>(LIMIT_TOLD_LEFT, <i32>left);
  store<i32>(LIMIT_TOLD_RESET, wait > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : <i32>wait);
}

@inline
export function count(counter: i32): void {
  store<f64>(counter, load<f64>(counter) + 1);
}

/** A connection's bucket keeps the settings that it was first used with, as with Envoy; the others follow their limit. */
function takeToken(bucket: i32, limit: i32, ofConnection: bool, now: i64): bool {
  let interval = load<i64>(bucket + BUCKET_INTERVAL);
  if (interval == 0 || (!ofConnection && hasOtherSettings(bucket, limit))) {
    adopt(bucket, limit, now);
    interval = load<i64>(bucket + BUCKET_INTERVAL);
  }
  return takeFromBucket(bucket, interval, now);
}

/** Fills the bucket for the time that has passed, and takes a token where it has one. */
export function takeFromBucket(bucket: i32, interval: i64, now: i64): bool {
  const perFill = load<i64>(bucket + BUCKET_PER_FILL);
  const full = load<i64>(bucket + BUCKET_MAX_TOKENS) * interval;
  const elapsed = now - load<i64>(bucket + BUCKET_FILLED_AT);
  let credit = load<i64>(bucket + BUCKET_CREDIT);
  if (elapsed > 0) {
    store<i64>(bucket + BUCKET_FILLED_AT, now);
    // Divided first: what a long pause would fill does not fit a number.
    credit = elapsed > (full - credit) / perFill ? full : credit + elapsed * perFill;
  }
  const allowed = credit >= interval;
  store<i64>(bucket + BUCKET_CREDIT, allowed ? credit - interval : credit);
  return allowed;
}

@inline
function hasOtherSettings(bucket: i32, limit: i32): bool {
  return load<i64>(bucket + BUCKET_INTERVAL) != load<i64>(limit + LIMIT_INTERVAL) ||
    load<i64>(bucket + BUCKET_MAX_TOKENS) != load<i64>(limit + LIMIT_MAX_TOKENS) ||
    load<i64>(bucket + BUCKET_PER_FILL) != load<i64>(limit + LIMIT_PER_FILL);
}

/** Takes over the limit's settings: a new bucket is full, one in use keeps its whole tokens. */
function adopt(bucket: i32, limit: i32, now: i64): void {
  const before = load<i64>(bucket + BUCKET_INTERVAL);
  const interval = load<i64>(limit + LIMIT_INTERVAL);
  const maxTokens = load<i64>(limit + LIMIT_MAX_TOKENS);
  let tokens = maxTokens;
  if (before != 0) tokens = min<i64>(load<i64>(bucket + BUCKET_CREDIT) / before, maxTokens);
  store<i64>(bucket + BUCKET_CREDIT, tokens * interval);
  store<i64>(bucket + BUCKET_FILLED_AT, now);
  store<i64>(bucket + BUCKET_INTERVAL, interval);
  store<i64>(bucket + BUCKET_MAX_TOKENS, maxTokens);
  store<i64>(bucket + BUCKET_PER_FILL, load<i64>(limit + LIMIT_PER_FILL));
}
