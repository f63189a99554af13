// External authorization: counters of filters, which outlive configurations, under Envoy's names.

/** Of one connection manager (`http`, with the filter's own prefix) or stat_prefix (`network`). */
export interface AuthorizerCounts {
  readonly kind: 'http' | 'network';
  readonly statPrefix: string;
  /** Of connections: asked about at all. */
  total: number;
  ok: number;
  denied: number;
  error: number;
  /** Of the errors: let through all the same. */
  failureModeAllowed: number;
  /** Requests that nobody had to be asked about. */
  disabled: number;
  /** Answers that could not be done. */
  invalid: number;
}

export class AuthorizerStatistics {
  private readonly counts = new Map<string, AuthorizerCounts>();

  countsOf(kind: AuthorizerCounts['kind'], statPrefix: string): AuthorizerCounts {
    const key = `${kind} ${statPrefix}`;
    const known = this.counts.get(key);
    if (known !== undefined) return known;
    const none = { total: 0, ok: 0, denied: 0, error: 0, failureModeAllowed: 0, disabled: 0, invalid: 0 };
    const counts = { kind, statPrefix, ...none };
    this.counts.set(key, counts);
    return counts;
  }

  all(): readonly AuthorizerCounts[] {
    return [...this.counts.values()];
  }
}

/** What waits for authorizers, for all requests and connections of a data path together. */
export class AuthorizerLoad {
  /** Calls under way. */
  calls = 0;
  /** Of bodies that are kept to be told. */
  bodyBytes = 0;
}

/** So many calls are under way at a time; beyond, it is as if the authorizer did not answer. */
export const MAX_CALLS = 4_096;
/** So much of bodies is kept; beyond, a request is refused. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;
