// What Pilot answers at /debug/distribution, and `lateenctl apply --wait` and `lateenctl wait` tell.

/** How one proxy stands with what was asked for. */
export interface ProxyDistribution {
  /** POD.NAMESPACE. */
  readonly proxyId: string;
  /** `withheld`: what was made for it is not consistent, and was not sent. */
  readonly state: 'taken' | 'pending' | 'refused' | 'withheld';
  /** Types that it has not answered; none where it was sent nothing yet. */
  readonly pending?: readonly string[];
  /** Why it is refused or withheld. */
  readonly reasons?: readonly { readonly type: string; readonly reason: string }[];
}

export interface DistributionReport {
  /** True once every connected proxy has taken it. */
  readonly complete: boolean;
  /** What Pilot itself waits for. */
  readonly waitingFor?: string;
  /** Connected ones, by their ids. */
  readonly proxies: readonly ProxyDistribution[];
}
