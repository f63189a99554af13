// Explain: the answer, as `lateenctl explain -o json` prints it. Names and shapes are pinned by a test.

/** A place in the documents that decided something. */
export interface Because {
  readonly file: string;
  /** 1-based. */
  readonly line: number;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** `spec.http[0].timeout`; empty for the document as a whole. */
  readonly path: string;
  /** What it decided: a name of Explanation, or `endpoints`, `loadBalancer`, `tls`, `inbound`, … */
  readonly decides: string;
  /** The cluster, or the workload that receives, which it decided that for; empty where it is for the request. */
  readonly of: string;
}

/** Header changes in the words of a VirtualService. Names are in lower case. */
export interface HeaderChanges {
  readonly set: Readonly<Record<string, string>>;
  /** Several values of a name are joined by commas. */
  readonly add: Readonly<Record<string, string>>;
  readonly remove: readonly string[];
}

export interface ExplainedEndpoint {
  /** `NAME.NAMESPACE` of the pod, or the address where it is none; of a socket its path, and the port is 0. */
  readonly pod: string;
  /** The Deployment's name; empty where it is none. */
  readonly workload: string;
  readonly port: number;
  /** How it is called. */
  readonly tls: 'mutual' | 'tls' | 'none';
}

/** Bounds of what may be under way to a cluster from one proxy; null: none. */
export interface ExplainedCircuitBreaker {
  readonly maxConnections: number | null;
  readonly maxPendingRequests: number | null;
  readonly maxRequests: number | null;
  readonly maxRetries: number | null;
}

/** When an endpoint is left out for a while; null: the proxy's default, or never where `interval` alone is set. */
export interface ExplainedOutlierDetection {
  readonly consecutive5xxErrors: number | null;
  readonly consecutiveGatewayErrors: number | null;
  readonly intervalMs: number | null;
  readonly baseEjectionTimeMs: number | null;
  readonly maxEjectionPercent: number | null;
}

/** A cluster that the request may go to. */
export interface ExplainedCluster {
  readonly name: string;
  /** Its share of `clusters`; 100 where it is the only one. */
  readonly weight: number;
  readonly endpoints: readonly ExplainedEndpoint[];
  /** `LEAST_REQUEST`, `ROUND_ROBIN`, … */
  readonly loadBalancer: string;
  /** Beyond these a request is answered 503 UO. */
  readonly circuitBreaker: ExplainedCircuitBreaker;
  /** null: nothing is left out for its errors. */
  readonly outlierDetection: ExplainedOutlierDetection | null;
  readonly connectTimeoutMs: number | null;
  /** Path and Host that go to it, as the proxy would write them. */
  readonly path: string;
  readonly host: string;
  /** What is done for this destination alone, after the changes of the route. */
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
}

export interface ExplainedRetries {
  readonly attempts: number;
  readonly perTryTimeoutMs: number | null;
  readonly retryOn: readonly string[];
  readonly retriableStatusCodes: readonly number[];
  readonly backoffMs: number | null;
}

export interface ExplainedFault {
  readonly delay: { readonly percentage: number; readonly fixedDelayMs: number } | null;
  readonly abort: {
    readonly percentage: number;
    readonly httpStatus: number | null;
    readonly grpcStatus: number | null;
  } | null;
}

export interface ExplainedMirror {
  readonly cluster: string;
  readonly percentage: number;
}

/** Cross-origin sharing of the answer. */
export interface ExplainedCors {
  /** The answer may be read, or the proxy answers a preflight, or it answers one that is not allowed. */
  readonly answer: 'shared' | 'preflight' | 'refused';
  /** `access-control-…` of the answer. */
  readonly headers: Readonly<Record<string, string>>;
}

/** A token bucket that the request would be charged to. */
export interface ExplainedLimit {
  /** The filter's name. */
  readonly filter: string;
  readonly at: 'listener' | 'virtual host' | 'route';
  readonly maxTokens: number;
  readonly tokensPerFill: number;
  readonly fillIntervalMs: number;
  readonly enforcedPercentage: number;
  readonly status: number;
  /** Of a RateLimit: `NAMESPACE/NAME/RULE`, as in `because[].of`; null for Envoy's `local_ratelimit`. */
  readonly rule: string | null;
  /** Of a RateLimit: counted at each proxy, or over the mesh. */
  readonly scope: 'PROXY' | 'MESH' | null;
  /** What is counted apart, with this request's value; null where it is known only when the request comes. */
  readonly countedBy: readonly { readonly by: string; readonly value: string | null }[];
}

/** A rate limit service that would be asked about the request, and what it would be told. */
export interface ExplainedInquiry {
  /** `NAMESPACE/NAME/RULE`, as in `because[].of`. */
  readonly rule: string;
  /** `HOST:PORT`. */
  readonly service: string;
  readonly domain: string;
  /** A value is null where it is known only when the request comes. */
  readonly descriptor: readonly { readonly key: string; readonly value: string | null }[];
  readonly timeoutMs: number;
  /** Without an answer the request goes through. */
  readonly failOpen: boolean;
  /** Of a refusal. */
  readonly status: number;
}

/** What AuthorizationPolicies make of a request. */
export interface ExplainedAuthorization {
  readonly decision: 'allowed' | 'denied';
  /** `ns[NAMESPACE]-policy[NAME]-rule[N]`; null: allowed since there are no ALLOW policies, or denied since none of them is for it. */
  readonly rule: string | null;
  /** The provider that is asked about it by a policy with action CUSTOM; it is taken to let the request through as it is. */
  readonly asked: string | null;
}

/** A route that came before, or a rule that is none for this caller, and the first thing about it that did not hold. */
export interface NotMatched {
  /** The rule as `VirtualService NAMESPACE/NAME http[0].match[1]`, or the route's name. */
  readonly rule: string;
  /** `uri`, `headers.end-user`, `sourceLabels`, `port`, … */
  readonly condition: string;
  readonly expected: string;
  readonly actual: string;
  readonly because: Because | null;
}

/** The receiving side: what the sidecar of a destination does. */
export interface ExplainedInbound {
  readonly workload: string;
  readonly namespace: string;
  readonly port: number;
  /** Mode of PeerAuthentication that holds at the port. */
  readonly mtls: 'STRICT' | 'PERMISSIVE' | 'DISABLE';
  /** How the caller comes. */
  readonly caller: 'mutual' | 'tls' | 'none';
  readonly accepted: boolean;
  /** Filter chain that takes the connection; null: none does. */
  readonly filterChain: string | null;
  /** null: no policy holds. */
  readonly authorization: ExplainedAuthorization | null;
  readonly action: string;
  readonly cluster: string | null;
  readonly timeoutMs: number | null;
  readonly limits: readonly ExplainedLimit[];
  readonly asks: readonly ExplainedInquiry[];
}

/**
 * What becomes of the request: sent on (`forward`), answered by the proxy (`redirect`, `directResponse`, `preflight` of
 * another origin, `notFound`: no route, `refused`: not a request that it takes), not spoken to as HTTP (`tcp`), or never
 * accepted (`noListener`).
 */
export type ExplainedAction =
  | 'forward'
  | 'redirect'
  | 'directResponse'
  | 'preflight'
  | 'notFound'
  | 'refused'
  | 'tcp'
  | 'noListener';

export interface Explanation {
  readonly from: {
    readonly workload: string;
    readonly namespace: string;
    readonly pod: string;
    readonly gateway: boolean;
  };
  /** Where the proxy takes the call: `HOST:PORT` of a service, `forward proxy`, `gateway port N`; null: nowhere. */
  readonly listener: string | null;
  readonly virtualHost: string | null;
  /** Name of the route, else the rule that it was made of; null where there is none. */
  readonly route: string | null;
  readonly clusters: readonly ExplainedCluster[];
  readonly action: ExplainedAction;
  /** Status of an answer that the proxy gives by itself; null where the destination answers. */
  readonly status: number | null;
  /** Response flag of such an answer (NR, UH, …); empty where it has none. */
  readonly responseFlag: string;
  /** Of a redirect. */
  readonly location: string | null;
  /** Of a direct response. */
  readonly body: string | null;
  readonly requestHeaders: HeaderChanges;
  readonly responseHeaders: HeaderChanges;
  /** As it goes out, after every rewrite; of several clusters that of the first. */
  readonly path: string | null;
  readonly host: string | null;
  /** null: no limit. */
  readonly timeoutMs: number | null;
  readonly retries: ExplainedRetries | null;
  readonly fault: ExplainedFault | null;
  readonly mirror: readonly ExplainedMirror[];
  /** null: no corsPolicy, or it does not concern the request. */
  readonly cors: ExplainedCors | null;
  readonly limits: readonly ExplainedLimit[];
  readonly asks: readonly ExplainedInquiry[];
  /** By what a hashing load balancer chooses: `header x-user`, `cookie session`, `source address`. */
  readonly hashBy: readonly string[];
  /** What happens, in a sentence. */
  readonly outcome: string;
  /** The route's rivals, in the order in which they were tried. */
  readonly notMatched: readonly NotMatched[];
  /** Rules after the chosen one, which were not looked at. */
  readonly notReached: readonly string[];
  /** At a gateway; null: no policy holds there. */
  readonly authorization: ExplainedAuthorization | null;
  readonly inbound: readonly ExplainedInbound[];
  readonly because: readonly Because[];
  /** Remarks: what is likely to surprise. */
  readonly notes: readonly string[];
}

/** No change at all. */
export const NO_CHANGES: HeaderChanges = { set: {}, add: {}, remove: [] };
