// Quotas: the service that proxies ask for their shares (envoy.service.rate_limit_quota.v3), beside ADS.

import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import {
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { Logger } from '@lateen/telemetry';
import { configsOf, type MeshSnapshot, QUOTA_DOMAIN, RULE_KEY, rateLimitBudget } from '@lateen/translate';
import { grpcService } from '@lateen/xds-proto';
import {
  RateLimitQuotaResponse_BucketAction_AbandonActionSchema as AbandonSchema,
  RateLimitQuotaResponse_BucketAction_QuotaAssignmentActionSchema as AssignmentSchema,
  type RateLimitQuotaResponse_BucketAction as BucketAction,
  RateLimitQuotaResponse_BucketActionSchema as BucketActionSchema,
  type RateLimitQuotaResponse,
  RateLimitQuotaResponseSchema,
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { RateLimitStrategySchema } from '@lateen/xds-proto/envoy/type/v3/ratelimit_strategy_pb.js';
import { TokenBucketSchema } from '@lateen/xds-proto/envoy/type/v3/token_bucket_pb.js';
import { type QuotaBucketId, type QuotaHolder, QuotaLedger, type QuotaRule, type QuotaShare } from './quota-ledger.js';

export type Call = ServerDuplexStream<RateLimitQuotaUsageReports, RateLimitQuotaResponse>;

export interface QuotaService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Rules of which namespaces a caller may report for. */
export type QuotaAdmission = { readonly refused: string } | { readonly mayReport: (namespace: string) => boolean };

/** Shares are divided so often. */
const SETTLE_MS = 100;

/** The quotas of a mesh; its services share one ledger. */
export class Quotas {
  readonly #rules = new Map<string, QuotaRule>();
  readonly #calls = new Set<Call>();
  readonly #ledger: QuotaLedger;
  #rootNamespace = '';
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly logger: Logger) {
    this.#ledger = new QuotaLedger({
      rule: (id) => this.#rules.get(id),
      ruleKey: RULE_KEY,
      nowMs: () => performance.now(),
    });
    this.#timer = setInterval(() => this.#ledger.settle(), SETTLE_MS).unref();
  }

  /** Takes the rules of a new snapshot. */
  publish(snapshot: MeshSnapshot): void {
    this.#rules.clear();
    this.#rootNamespace = snapshot.rootNamespace;
    for (const { metadata, spec } of configsOf(snapshot, 'RateLimit')) {
      for (const rule of spec.rules ?? []) {
        this.#rules.set(`${metadata.namespace}/${metadata.name}/${rule.name}`, {
          budget: rateLimitBudget(rule),
          scope: rule.scope ?? 'PROXY',
        });
      }
    }
    this.#ledger.refresh();
  }

  /** The service for one server. `admit` says whose rules a caller may report for, or why none. */
  createService(admit: (call: Call) => QuotaAdmission): QuotaService {
    return {
      definition: grpcService(RateLimitQuotaService) as ServiceDefinition,
      implementation: {
        streamRateLimitQuotas: (call: Call) => {
          const admission = admit(call);
          if ('refused' in admission)
            call.emit('error', { code: status.PERMISSION_DENIED, details: admission.refused });
          else this.#serve(call, admission.mayReport);
        },
      } as UntypedServiceImplementation,
    };
  }

  close(): void {
    clearInterval(this.#timer);
    for (const call of this.#calls) {
      call.emit('error', { code: status.UNAVAILABLE, details: 'pilot is stopping; connect again' });
    }
  }

  #serve(call: Call, mayReport: (namespace: string) => boolean): void {
    const known = new Set<string>();
    const holder: QuotaHolder = {
      assign: (bucket, share) => answer(call, bucket, assignment(share)),
      abandon: (bucket) => answer(call, bucket, { case: 'abandonAction', value: create(AbandonSchema) }),
    };
    this.#calls.add(call);
    call.on('data', ({ domain, bucketQuotaUsages }: RateLimitQuotaUsageReports) => {
      if (domain !== '' && domain !== QUOTA_DOMAIN) {
        call.emit('error', { code: status.NOT_FOUND, details: `there are no quotas of domain ${domain}` });
        return;
      }
      for (const { bucketId, timeElapsed, numRequestsAllowed, numRequestsDenied } of bucketQuotaUsages) {
        const id = bucketId?.bucket ?? {};
        // Else a workload could take the quotas of others by claiming demand.
        const namespace = (id[RULE_KEY] ?? '').split('/')[0] ?? '';
        if (namespace !== this.#rootNamespace && !mayReport(namespace)) continue;
        const key = JSON.stringify(id);
        const elapsedMs = Number(timeElapsed?.seconds ?? 0n) * 1_000 + (timeElapsed?.nanos ?? 0) / 1e6;
        this.#ledger.report(holder, id, Number(numRequestsAllowed + numRequestsDenied), elapsedMs, !known.has(key));
        known.add(key);
      }
    });
    const over = () => {
      if (this.#calls.delete(call)) this.#ledger.leave(holder);
    };
    call.on('end', () => {
      over();
      call.end();
    });
    call.on('cancelled', over);
    call.on('error', (error) => {
      over();
      this.logger.debug({ peer: call.getPeer(), reason: error.message }, 'a quota stream ended');
    });
  }
}

function answer(call: Call, bucket: QuotaBucketId, bucketAction: BucketAction['bucketAction']): void {
  const action = create(BucketActionSchema, { bucketId: { bucket: { ...bucket } }, bucketAction });
  call.write(create(RateLimitQuotaResponseSchema, { bucketAction: [action] }));
}

/** A quota counts until the next one comes; to Envoy an assignment without a time is over at once. */
const ASSIGNED_FOR = create(DurationSchema, { seconds: 365n * 86_400n });

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
