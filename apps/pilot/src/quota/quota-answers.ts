// Quotas: what one stream is told: the shares that the ledger gives it, several in a message, no faster than they are read.

import { create, toBinary } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { Logger } from '@lateen/telemetry';
import {
  RateLimitQuotaResponse_BucketAction_AbandonActionSchema as AbandonSchema,
  RateLimitQuotaResponse_BucketAction_QuotaAssignmentActionSchema as AssignmentSchema,
  type RateLimitQuotaResponse_BucketAction as BucketAction,
  RateLimitQuotaResponse_BucketActionSchema as BucketActionSchema,
  type RateLimitQuotaResponse,
  RateLimitQuotaResponseSchema,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { RateLimitStrategySchema } from '@lateen/xds-proto/envoy/type/v3/ratelimit_strategy_pb.js';
import { TokenBucketSchema } from '@lateen/xds-proto/envoy/type/v3/token_bucket_pb.js';
import type { QuotaBucketId, QuotaHolder } from './quota-ledger.js';
import type { QuotaShare } from './quota-share.js';

export type Call = ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

/** Keeps messages well below the 4 MB that a gRPC client takes. */
const MAX_ACTIONS = 256;
/** A stream for which more waits is not read; when it comes back it is told anew. */
const MAX_WAITING = 32_768;
/** A quota counts until the next one comes; to Envoy an assignment without a time is over at once. */
const ASSIGNED_FOR = create(DurationSchema, { seconds: 365n * 86_400n });

export class QuotaAnswers implements QuotaHolder {
  /** The last word on each bucket. */
  readonly #waiting = new Map<QuotaBucketId, BucketAction>();
  #awaited = false;
  #over = false;

  constructor(
    private readonly call: Call,
    readonly proxy: string | undefined,
    private readonly logger: Logger,
  ) {}

  assign(bucket: QuotaBucketId, share: QuotaShare): void {
    this.#tell(bucket, () => assignment(share));
  }

  abandon(bucket: QuotaBucketId): void {
    this.#tell(bucket, () => ({ case: 'abandonAction', value: create(AbandonSchema) }));
  }

  /** The stream has ended. */
  end(): void {
    this.#over = true;
    this.#waiting.clear();
  }

  #tell(bucket: QuotaBucketId, make: () => BucketAction['bucketAction']): void {
    if (this.#over) return;
    try {
      const action = create(BucketActionSchema, { bucketId: { bucket: { ...bucket } }, bucketAction: make() });
      // What cannot be written would end the stream, and with it the quotas of all other buckets.
      toBinary(BucketActionSchema, action);
      this.#waiting.set(bucket, action);
    } catch (error) {
      this.logger.error({ bucket, reason: String(error) }, 'a quota cannot be written; the proxy keeps what it has');
      return;
    }
    if (this.#waiting.size > MAX_WAITING) {
      this.end();
      const details = `more than ${MAX_WAITING} quotas wait to be read; connect again`;
      this.call.emit('error', { code: status.RESOURCE_EXHAUSTED, details, message: details });
    } else if (!this.#awaited) {
      this.#awaited = true;
      setImmediate(() => this.#flush());
    }
  }

  #flush(): void {
    this.#awaited = false;
    while (this.#waiting.size > 0) {
      if (this.call.writableNeedDrain) {
        this.#awaited = true;
        this.call.once('drain', () => this.#flush());
        return;
      }
      const bucketAction: BucketAction[] = [];
      for (const [bucket, action] of this.#waiting) {
        if (bucketAction.length === MAX_ACTIONS) break;
        bucketAction.push(action);
        this.#waiting.delete(bucket);
      }
      this.call.write(create(RateLimitQuotaResponseSchema, { bucketAction }));
    }
  }
}

function assignment({ requests, periodMs, burst }: QuotaShare): BucketAction['bucketAction'] {
  const fillInterval = create(DurationSchema, {
    seconds: BigInt(Math.floor(periodMs / 1_000)),
    nanos: Math.round(periodMs % 1_000) * 1e6,
  });
  const tokenBucket = create(TokenBucketSchema, { maxTokens: burst, tokensPerFill: requests, fillInterval });
  const rateLimitStrategy = create(RateLimitStrategySchema, { strategy: { case: 'tokenBucket', value: tokenBucket } });
  return {
    case: 'quotaAssignmentAction',
    value: create(AssignmentSchema, { rateLimitStrategy, assignmentTimeToLive: ASSIGNED_FOR }),
  };
}
