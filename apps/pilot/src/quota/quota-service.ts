// Quotas: the service that proxies ask for their shares (envoy.service.rate_limit_quota.v3), beside ADS.

import { type ServiceDefinition, status, type UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Logger } from '@lateen/telemetry';
import {
  configsOf,
  isCountedRule,
  type MeshSnapshot,
  QUOTA_DOMAIN,
  RULE_KEY,
  rateLimitBudget,
} from '@lateen/translate';
import { grpcService } from '@lateen/xds-proto';
import {
  RateLimitQuotaService,
  type RateLimitQuotaUsageReports,
} from '@lateen/xds-proto/envoy/service/rate_limit_quota/v3/rlqs_pb.js';
import { type Call, QuotaAnswers } from './quota-answers.js';
import { QuotaLedger, type QuotaRule } from './quota-ledger.js';
import type { QuotaRelay } from './quota-relay.js';

export interface QuotaService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
}

/** Who a caller is, and rules of which namespaces it may report for. */
export type QuotaAdmission = { readonly refused: string } | QuotaCaller;

export interface QuotaCaller {
  readonly identity: string;
  /** Another replica has handed it on, since it takes this one for the one that divides limits. */
  readonly isHandedOn?: boolean;
  readonly mayReport: (namespace: string) => boolean;
}

/** gRPC metadata with the id of the proxy's node, which the quota protocol does not say. Lateen's sidecars send it. */
const NODE_ID_METADATA = 'x-lateen-node-id-bin';
/** Shares are divided so often. */
const SETTLE_MS = 100;

/** The quotas of a mesh; its services share one ledger. */
export class Quotas {
  readonly #rules = new Map<string, QuotaRule>();
  readonly #calls = new Set<Call>();
  readonly #ledger: QuotaLedger;
  #rootNamespace = '';
  readonly #timer: NodeJS.Timeout;

  /** @param relay to the replica that divides limits, where there are several */
  constructor(
    private readonly logger: Logger,
    private readonly relay?: QuotaRelay,
  ) {
    this.#ledger = new QuotaLedger({
      rule: (id) => this.#rules.get(id),
      ruleKey: RULE_KEY,
      nowMs: () => performance.now(),
      onRefused: (reports, held) =>
        logger.warn(
          { reports, held },
          'there are more values of rate limits than there is room for; the rest is limited as without a quota',
        ),
    });
    this.#timer = setInterval(() => {
      // Proxies that were with another replica come here now.
      if (this.relay?.follow() === true) this.#ledger.gather();
      this.#ledger.settle();
    }, SETTLE_MS).unref();
  }

  /** Takes the rules of a new snapshot. */
  publish(snapshot: MeshSnapshot): void {
    this.#rules.clear();
    this.#rootNamespace = snapshot.rootNamespace;
    for (const { metadata, spec } of configsOf(snapshot, 'RateLimit')) {
      for (const rule of (spec.rules ?? []).filter(isCountedRule)) {
        this.#rules.set(`${metadata.namespace}/${metadata.name}/${rule.name}`, {
          budget: rateLimitBudget(rule),
          scope: rule.scope ?? 'PROXY',
        });
      }
    }
    this.#ledger.refresh();
  }

  /** The service for one server, which is to listen now. `admit` says whose rules a caller may report for, or why none. */
  createService(admit: (call: Call) => QuotaAdmission): QuotaService {
    this.#ledger.gather();
    return {
      definition: grpcService(RateLimitQuotaService) as ServiceDefinition,
      implementation: {
        streamRateLimitQuotas: (call: Call) => {
          const admission = admit(call);
          if ('refused' in admission)
            call.emit('error', { code: status.PERMISSION_DENIED, details: admission.refused });
          else if (this.relay?.isElsewhere === true && admission.isHandedOn !== true)
            this.relay.serve(call, admission.identity, call.metadata);
          else this.#serve(call, admission);
        },
      } as UntypedServiceImplementation,
    };
  }

  close(): void {
    clearInterval(this.#timer);
    this.relay?.close();
    for (const call of this.#calls) {
      call.emit('error', { code: status.UNAVAILABLE, details: 'pilot is stopping; connect again' });
    }
  }

  #serve(call: Call, { identity, mayReport }: QuotaCaller): void {
    const nodeId = call.metadata.get(NODE_ID_METADATA)[0]?.toString('utf8');
    const proxy = nodeId === undefined ? undefined : JSON.stringify([identity, nodeId]);
    const answers = new QuotaAnswers(call, proxy, this.logger);
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
        const elapsedMs = Number(timeElapsed?.seconds ?? 0n) * 1_000 + (timeElapsed?.nanos ?? 0) / 1e6;
        this.#ledger.report(answers, id, Number(numRequestsAllowed + numRequestsDenied), elapsedMs);
      }
    });
    const over = () => {
      if (!this.#calls.delete(call)) return;
      answers.end();
      this.#ledger.leave(answers);
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
