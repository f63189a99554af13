// Exchange: charges the rate limits and quotas of a request, where the chain has such filters.

import {
  BUCKET_BYTES,
  CHARGE_NEEDS_BUCKET,
  type Core,
  LIMIT_TOLD,
  LIMIT_TOLD_LEFT,
  LIMIT_TOLD_MAX,
  LIMIT_TOLD_RESET,
  QUOTA_MADE_COUNT,
  QUOTA_REPLY_BODY,
  QUOTA_REPLY_BODY_LENGTH,
  QUOTA_REPLY_POLICY,
  QUOTA_TOLD,
  QUOTA_TOLD_LEFT,
  QUOTA_TOLD_LENGTH,
  QUOTA_TOLD_RESET,
  QUOTA_TOLD_TEXT,
  ROUTE_ACTION,
  ROUTE_ACTION_FORWARD,
  ROUTE_CLUSTER,
  ROUTE_LIMIT_POLICY,
} from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { ExchangeClient } from '../exchange-client.js';
import type { LocalReply } from '../local-reply.js';
import { FLAG } from '../response-flags.js';

const replies = new Map<string, LocalReply>();

/** ROUTE_* is filled: the refusal, with what the exchange needs to know of it, or null to go on. */
export function chargeRateLimits(
  path: DataPath,
  client: ExchangeClient,
  exchange: { policy: number; clusterSlot: number; headLines: string },
): LocalReply | null {
  const { core } = path;
  const { listenerRecord, hasQuotas } = client.chain;
  const limited = chargeLimits(path, client);
  if (core.i32[LIMIT_TOLD >> 2] !== 0) exchange.headLines = limitLines(core);
  if (limited !== 0) {
    exchange.policy = core.i32[ROUTE_LIMIT_POLICY >> 2]!;
    noteCluster(path, exchange);
    return refusal(limited, 'local_rate_limited', 'local_rate_limited');
  }
  if (!hasQuotas) return null;
  const over = core.wasm.chargeQuotas(listenerRecord, client.record, client.secure, path.clock.nowMs);
  if (core.i32[QUOTA_MADE_COUNT >> 2] !== 0) path.quotas.noteMade();
  if (over === 0) {
    if (core.i32[QUOTA_TOLD >> 2] !== 0) exchange.headLines += leftLines(core);
    return null;
  }
  exchange.policy = core.i32[QUOTA_REPLY_POLICY >> 2]!;
  noteCluster(path, exchange);
  const body = core.text(core.i32[QUOTA_REPLY_BODY >> 2]!, core.i32[QUOTA_REPLY_BODY_LENGTH >> 2]!);
  return refusal(over, body, 'rate_limited_by_quota');
}

/** What the tightest of the local limits that are told leaves, as Envoy says it. */
function limitLines({ i32 }: Core): string {
  const at = (field: number) => i32[field >> 2]! >>> 0;
  return `x-ratelimit-limit: ${at(LIMIT_TOLD_MAX)}\r\nx-ratelimit-remaining: ${at(LIMIT_TOLD_LEFT)}\r\nx-ratelimit-reset: ${at(LIMIT_TOLD_RESET)}\r\n`;
}

/** What the tightest of the limits that are told leaves. */
function leftLines(core: Core): string {
  const at = (field: number) => core.i32[field >> 2]!;
  const limit = core.text(at(QUOTA_TOLD_TEXT), at(QUOTA_TOLD_LENGTH));
  return `ratelimit-limit: ${limit}\r\nratelimit-remaining: ${at(QUOTA_TOLD_LEFT)}\r\nratelimit-reset: ${at(QUOTA_TOLD_RESET)}\r\n`;
}

function chargeLimits({ core, clock }: DataPath, client: ExchangeClient): number {
  const { listenerRecord } = client.chain;
  const status = core.wasm.chargeLimits(listenerRecord, client.limitBucket, clock.nowMs);
  if (status !== CHARGE_NEEDS_BUCKET) return status;
  const bucket = core.connectionBuckets.take();
  if (bucket !== 0) core.bytes.fill(0, bucket, bucket + BUCKET_BYTES);
  // Without room for buckets of their own such connections share one, which limits them more.
  client.limitBucket = bucket === 0 ? -1 : bucket;
  return core.wasm.chargeLimits(listenerRecord, client.limitBucket, clock.nowMs);
}

/** For the log and the metrics: where the request would have gone. */
function noteCluster({ core }: DataPath, exchange: { clusterSlot: number }): void {
  if (core.i32[ROUTE_ACTION >> 2] === ROUTE_ACTION_FORWARD) exchange.clusterSlot = core.i32[ROUTE_CLUSTER >> 2]!;
}

/** One object for each different answer, of which a configuration has few. */
function refusal(status: number, body: string, details: string): LocalReply {
  const key = `${status} ${details} ${body}`;
  let reply = replies.get(key);
  if (reply === undefined) {
    reply = { status, flags: FLAG.RL, body, details };
    replies.set(key, reply);
  }
  return reply;
}
