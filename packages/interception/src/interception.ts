// Interception, step 2: what is to be redirected, understood and checked. rules.ts makes rules of it.

/** 4 or 6. */
export type Family = 4 | 6;

/** `10.0.0.0/8`, with its family. */
export interface Range {
  readonly family: Family;
  readonly text: string;
  /** Whether it begins at a loopback address. */
  readonly isLoopback: boolean;
}

export interface DnsCapture {
  /** Queries to these servers are redirected; with `all` those to any. */
  readonly servers: 'all' | readonly Range[];
  /** The proxy's port for names, UDP and TCP. */
  readonly port: number;
}

export interface Interception {
  readonly proxyPort: number;
  readonly inboundPort: number;
  readonly tunnelPort: number;
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  readonly inboundMode: 'REDIRECT' | 'TPROXY';
  readonly inboundPorts: 'all' | readonly number[];
  readonly excludedInboundPorts: readonly number[];
  readonly outboundRanges: 'all' | readonly Range[];
  readonly excludedOutboundRanges: readonly Range[];
  readonly outboundPorts: readonly number[];
  readonly excludedOutboundPorts: readonly number[];
  readonly excludedInterfaces: readonly string[];
  readonly virtualInterfaces: readonly string[];
  readonly ownerGroups: { readonly kind: 'only' | 'except'; readonly groups: readonly string[] };
  readonly dns: DnsCapture | undefined;
  /** Drop packets that conntrack cannot place, so that none of them resets a connection. */
  readonly dropInvalid: boolean;
  readonly tproxyMark: number;
  readonly tproxyTable: number;
  readonly families: readonly Family[];
}
