// Exchange: charges the rate limits of a request, where the chain has such a filter.

import {
  BUCKET_BYTES,
  CHARGE_NEEDS_BUCKET,
  ROUTE_ACTION,
  ROUTE_ACTION_FORWARD,
  ROUTE_CLUSTER,
  ROUTE_LIMIT_POLICY,
} from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { ExchangeClient } from '../exchange-client.js';
import type { LocalReply } from '../local-reply.js';
import { FLAG } from '../response-flags.js';

const replies = new Map<number, LocalReply>();

/** ROUTE_* is filled: the refusal, with what the exchange needs to know of it, or null to go on. */
export function chargeRateLimits(
  { core, clock }: DataPath,
  client: ExchangeClient,
  exchange: { policy: number; clusterSlot: number },
): LocalReply | null {
  const { listenerRecord } = client.chain;
  let status = core.wasm.chargeLimits(listenerRecord, client.limitBucket, clock.nowMs);
  if (status === CHARGE_NEEDS_BUCKET) {
    const bucket = core.connectionBuckets.take();
    if (bucket !== 0) core.bytes.fill(0, bucket, bucket + BUCKET_BYTES);
    // Without room for buckets of their own such connections share one, which limits them more.
    client.limitBucket = bucket === 0 ? -1 : bucket;
    status = core.wasm.chargeLimits(listenerRecord, client.limitBucket, clock.nowMs);
  }
  if (status === 0) return null;
  exchange.policy = core.i32[ROUTE_LIMIT_POLICY >> 2]!;
  // For the log and the metrics: where the request would have gone.
  if (core.i32[ROUTE_ACTION >> 2] === ROUTE_ACTION_FORWARD) exchange.clusterSlot = core.i32[ROUTE_CLUSTER >> 2]!;
  return refusal(status);
}

function refusal(status: number): LocalReply {
  let reply = replies.get(status);
  if (reply === undefined) {
    reply = { status, flags: FLAG.RL, body: 'local_rate_limited', details: 'local_rate_limited' };
    replies.set(status, reply);
  }
  return reply;
}
