// Exchange: charges the rate limits of a request, where the chain has such a filter.

import { BUCKET_BYTES, CHARGE_NEEDS_BUCKET, ROUTE_LIMIT_POLICY } from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { ExchangeClient } from './exchange-client.js';
import type { LocalReply } from './local-reply.js';
import { FLAG } from './response-flags.js';

const replies = new Map<number, LocalReply>();

/** ROUTE_* is filled: the refusal, with its policy for the exchange, or null to go on. */
export function chargeRateLimits(
  { core, clock }: DataPath,
  client: ExchangeClient,
  exchange: { policy: number },
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
