// A RateLimitStrategy as the core's buckets have it: a token bucket in whole microseconds, or everything, or nothing.
import {
  RateLimitStrategy_BlanketRule as BlanketRule,
  type RateLimitStrategy,
} from '@lateen/xds-proto/envoy/type/v3/ratelimit_strategy_pb.js';
import { RateLimitUnit } from '@lateen/xds-proto/envoy/type/v3/ratelimit_unit_pb.js';
import * as B from '../../filter-layout.js';
import type { ProblemList } from '../problems.js';
import { join } from '../supported-fields.js';

export interface QuotaStrategy {
  /** STRATEGY_*. */
  readonly kind: number;
  /** Microseconds, tokens, tokens an interval; of STRATEGY_BUCKET. */
  readonly interval: bigint;
  readonly maxTokens: bigint;
  readonly perFill: bigint;
}

const ALLOW: QuotaStrategy = { kind: B.STRATEGY_ALLOW, interval: 0n, maxTokens: 0n, perFill: 0n };
const DENY: QuotaStrategy = { ...ALLOW, kind: B.STRATEGY_DENY };
const UNIT_SECONDS: Readonly<Record<number, bigint>> = {
  [RateLimitUnit.SECOND]: 1n,
  [RateLimitUnit.MINUTE]: 60n,
  [RateLimitUnit.HOUR]: 3_600n,
  [RateLimitUnit.DAY]: 86_400n,
};
/** As in rate-limit.ts: credit must fit a signed 64-bit number. */
const MAX_CREDIT = 2n ** 62n;

/** Absent: everything, as Envoy's filter does without an assignment. Faults go to `problems`. */
export function readStrategy(
  problems: Pick<ProblemList, 'add'>,
  path: string,
  strategy: RateLimitStrategy | undefined,
): QuotaStrategy {
  const chosen = strategy?.strategy;
  switch (chosen?.case) {
    case 'blanketRule':
      return chosen.value === BlanketRule.DENY_ALL ? DENY : ALLOW;
    case 'requestsPerTimeUnit': {
      const { requestsPerTimeUnit: requests, timeUnit } = chosen.value;
      const seconds = UNIT_SECONDS[timeUnit];
      if (seconds === undefined) {
        problems.add(join(path, 'requests_per_time_unit.time_unit'), 'must be SECOND, MINUTE, HOUR or DAY');
        return DENY;
      }
      return requests === 0n ? DENY : bucket(problems, path, seconds * 1_000_000n, requests, requests);
    }
    case 'tokenBucket': {
      const { maxTokens, tokensPerFill, fillInterval } = chosen.value;
      const interval =
        (fillInterval?.seconds ?? 0n) * 1_000_000n + BigInt(Math.floor((fillInterval?.nanos ?? 0) / 1000));
      if (maxTokens === 0) problems.add(join(path, 'token_bucket.max_tokens'), 'must be greater than 0');
      if (interval <= 0n) problems.add(join(path, 'token_bucket.fill_interval'), 'must be greater than 0');
      return bucket(problems, path, interval, BigInt(maxTokens), BigInt(tokensPerFill ?? 1));
    }
    default:
      return ALLOW;
  }
}

function bucket(
  problems: Pick<ProblemList, 'add'>,
  path: string,
  interval: bigint,
  maxTokens: bigint,
  perFill: bigint,
): QuotaStrategy {
  if (maxTokens * interval <= MAX_CREDIT) return { kind: B.STRATEGY_BUCKET, interval, maxTokens, perFill };
  problems.add(path, 'holds too many tokens for so long an interval; make one of them smaller');
  return DENY;
}
