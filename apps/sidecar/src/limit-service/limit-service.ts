// Rate limit service: what a filter envoy.filters.http.ratelimit says: whom to ask, and what its answers mean.

import { ASK_ANY, ASK_EXTERNAL, ASK_INTERNAL } from '@lateen/filters-wasm';
import {
  RateLimit_XRateLimitHeadersRFCVersion as HeadersVersion,
  type RateLimit,
} from '@lateen/xds-proto/envoy/extensions/filters/http/ratelimit/v3/rate_limit_pb.js';
import type { LocalReply } from '../exchange/local-reply.js';
import { FLAG } from '../exchange/response-flags.js';
import type { CallTarget } from '../upstream/calls/unary-call.js';
import { durationMs } from '../upstream/upstream-cluster.js';

/** As Envoy. */
const DEFAULT_TIMEOUT_MS = 20;
const DEFAULT_OVER_STATUS = 429;
const DEFAULT_ERROR_STATUS = 500;
/** Only an error can be the status of a refusal. */
const MIN_ERROR_STATUS = 400;
const RESOURCE_EXHAUSTED = 8;
const METHOD = '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit';
const REQUEST_TYPES: Readonly<Record<string, number>> = {
  '': ASK_ANY,
  both: ASK_ANY,
  internal: ASK_INTERNAL,
  external: ASK_EXTERNAL,
};

/** One filter of a chain. */
export interface LimitService extends CallTarget {
  /** Number by which routes configure it (limitSlots.filterId). */
  readonly filterId: number;
  /** ASK_*, and the stage whose actions are its own. */
  readonly requestType: number;
  readonly stage: number;
  readonly domain: string;
  /** Requests are refused where the service does not answer. */
  readonly deniesOnFailure: boolean;
  readonly failureReply: LocalReply;
  /** A refusal; its text is the service's. */
  readonly overReply: LocalReply;
  /** Answers have `x-ratelimit-*`, as the service says. */
  readonly tellsLimits: boolean;
  /** Refusals have `x-envoy-ratelimited`. */
  readonly marksRefusals: boolean;
  /** Comes before the name of each statistic. */
  readonly statPrefix: string;
  /** In the chain it stands behind the filter for faults, or that for other origins: what these answer it never sees. */
  readonly afterFaults: boolean;
  readonly afterCors: boolean;
}

/** Problems go to `problem`; the result is only to be used where there were none. */
export function compileLimitService(
  config: RateLimit,
  place: Pick<LimitService, 'filterId' | 'afterFaults' | 'afterCors'>,
  problem: (path: string, message: string) => void,
): LimitService {
  const service = config.rateLimitService?.grpcService;
  const target = service?.targetSpecifier;
  const envoyGrpc = target?.case === 'envoyGrpc' ? target.value : undefined;
  if (envoyGrpc === undefined || envoyGrpc.clusterName === '') {
    problem('rate_limit_service.grpc_service.envoy_grpc.cluster_name', 'is required: the cluster of the service');
  }
  if (config.domain === '') problem('domain', 'is required');
  const requestType = REQUEST_TYPES[config.requestType];
  if (requestType === undefined) {
    problem('request_type', `"${config.requestType}" is not supported; use internal, external or both`);
  }
  const overCode: number = config.rateLimitedStatus?.code ?? 0;
  const status = overCode < MIN_ERROR_STATUS ? DEFAULT_OVER_STATUS : overCode;
  const over = { status, flags: FLAG.RL, body: '', details: 'request_rate_limited' };
  const cluster = envoyGrpc?.clusterName ?? '';
  return {
    ...place,
    cluster,
    authority: envoyGrpc?.authority || cluster,
    method: METHOD,
    headerLines: (service?.initialMetadata ?? [])
      .map(({ key, value }) => `${key.toLowerCase()}: ${value}\r\n`)
      .join(''),
    timeoutMs: config.timeout === undefined ? DEFAULT_TIMEOUT_MS : durationMs(config.timeout),
    requestType: requestType ?? ASK_ANY,
    stage: config.stage,
    domain: config.domain,
    deniesOnFailure: config.failureModeDeny,
    failureReply: {
      status: config.statusOnError?.code || DEFAULT_ERROR_STATUS,
      flags: FLAG.RLSE,
      body: '',
      details: 'rate_limiter_error',
    },
    overReply: config.rateLimitedAsResourceExhausted ? { ...over, grpcStatus: RESOURCE_EXHAUSTED } : over,
    tellsLimits: config.enableXRatelimitHeaders === HeadersVersion.DRAFT_VERSION_03,
    marksRefusals: !config.disableXEnvoyRatelimitedHeader,
    statPrefix: config.statPrefix,
  };
}
