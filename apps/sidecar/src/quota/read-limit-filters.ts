// Downstream: the filters of a connection manager that limit rates, as records of the core.

import {
  type ListenerOptions,
  MAX_ASKING_FILTERS,
  MAX_QUOTA_FILTERS,
  MAX_RATE_LIMIT_FILTERS,
  ProblemList,
  type Tables,
} from '@lateen/filters-wasm';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type LocalRateLimit,
  LocalRateLimitSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import {
  type RateLimitQuotaFilterConfig,
  RateLimitQuotaFilterConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import {
  type RateLimit,
  RateLimitSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import type { HttpFilter } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { compileLimitService, type LimitService } from '../limit-service/limit-service.js';

type RateLimits = NonNullable<ListenerOptions['rateLimits']>;

export interface LimitFilterContext {
  readonly tables: Tables;
  readonly listenerName: string;
  /** The same in every configuration, for what is kept from one to the next. */
  readonly lastingName: string;
  /** Cluster of the quota service that this process can ask; undefined where there is none. */
  readonly quotaCluster: string | undefined;
  problem(path: string, message: string): void;
}

/** What stands before a filter in its chain. */
export interface FilterPlace {
  readonly afterFaults: boolean;
  readonly afterCors: boolean;
  /** One says that answers tell what this one leaves. */
  readonly tells: boolean;
}

/** Collects them in their order. */
export class LimitFilters {
  readonly rateLimits: RateLimits[number][] = [];
  readonly quotas: Uint8Array[] = [];
  /** Of the quota filters. */
  readonly names = new Set<string>();
  readonly services: LimitService[] = [];
  readonly asks: NonNullable<ListenerOptions['asks']>[number][] = [];

  constructor(private readonly context: LimitFilterContext) {}

  /** None that is charged here. */
  get empty(): boolean {
    return this.rateLimits.length === 0 && this.quotas.length === 0;
  }

  /** Takes a filter in; false where it is of another kind. `path` is the filter's. */
  read(filter: HttpFilter, path: string, place: FilterPlace): boolean {
    const any = filter.configType.case === 'typedConfig' ? filter.configType.value : undefined;
    if (any === undefined) return false;
    if (anyIs(any, RateLimitSchema)) {
      this.#addService(filter.name, unpackAny(any, RateLimitSchema), path, place);
      return true;
    }
    if (anyIs(any, LocalRateLimitSchema)) this.#addLimit(filter.name, unpackAny(any, LocalRateLimitSchema), path);
    else if (anyIs(any, RateLimitQuotaFilterConfigSchema)) {
      this.#addQuota(filter.name, unpackAny(any, RateLimitQuotaFilterConfigSchema), path, place.tells);
    } else return false;
    const { problem } = this.context;
    if (place.afterFaults) problem(path, 'a rate limit must come before the fault filter');
    if (this.services.length > 0) problem(path, 'a rate limit must come before those that ask a service');
    return true;
  }

  #addLimit(name: string, config: LocalRateLimit, path: string): void {
    const { tables, lastingName, problem } = this.context;
    if (this.rateLimits.length === MAX_RATE_LIMIT_FILTERS) {
      problem(path, `is one rate limit too many: at most ${MAX_RATE_LIMIT_FILTERS} are supported in a chain`);
    }
    const record = this.#collect((problems) =>
      tables.rateLimit(config, `${path}.typed_config`, `listener ${lastingName} ${name}`, problems),
    );
    this.rateLimits.push({ filterId: tables.limitSlots.filterId(name), record });
  }

  #addQuota(name: string, config: RateLimitQuotaFilterConfig, path: string, tells: boolean): void {
    const { tables, quotaCluster, problem } = this.context;
    const target = config.rlqsServer?.targetSpecifier;
    const cluster = target?.case === 'envoyGrpc' ? target.value.clusterName : undefined;
    if (cluster === undefined || cluster !== quotaCluster) {
      const allowed = quotaCluster === undefined ? 'there is none here' : `name "${quotaCluster}"`;
      problem(`${path}.typed_config.rlqs_server`, `must be the cluster of the control plane: ${allowed}`);
    }
    if (this.quotas.length === MAX_QUOTA_FILTERS) {
      problem(path, `is one quota too many: at most ${MAX_QUOTA_FILTERS} are supported in a chain`);
    }
    this.names.add(name);
    this.quotas.push(this.#collect((problems) => tables.quota(name, config, `${path}.typed_config`, problems, tells)));
  }

  #addService(name: string, config: RateLimit, path: string, { afterFaults, afterCors }: FilterPlace): void {
    const { tables, problem } = this.context;
    if (this.services.length === MAX_ASKING_FILTERS) {
      problem(
        path,
        `is one rate limit too many: at most ${MAX_ASKING_FILTERS} that ask a service are supported in a chain`,
      );
    }
    const filterId = tables.limitSlots.filterId(name, 'limit service');
    const service = compileLimitService(config, { filterId, afterFaults, afterCors }, (field, message) =>
      problem(`${path}.typed_config.${field}`, message),
    );
    const { stage, requestType } = service;
    const reply = this.#collect((problems) =>
      tables.refusalHeaders(config.responseHeadersToAdd, `${path}.typed_config`, problems),
    );
    this.services.push(service);
    this.asks.push({ filterId, stage, requestType, reply });
  }

  #collect<T>(compile: (problems: ProblemList) => T): T {
    const problems = new ProblemList('Listener', this.context.listenerName);
    const record = compile(problems);
    for (const { path, message } of problems.problems) this.context.problem(path, message);
    return record;
  }
}
