// Rules: the form of one, between what is decided (rules.ts) and how it is written (nftables.ts, iptables.ts).
import type { Family, Range } from './interception.js';

/** What packets a rule is for; all that is given must hold. */
export interface Match {
  readonly protocol?: 'tcp' | 'udp';
  readonly inInterface?: string;
  readonly outInterface?: string;
  readonly source?: Range;
  readonly destination?: Range;
  readonly notDestination?: Range;
  /** Destination ports, any of them. */
  readonly ports?: readonly number[];
  /** None of these destination ports. */
  readonly notPorts?: readonly number[];
  readonly sourcePort?: number;
  /** Sender's user: any of these. */
  readonly users?: readonly number[];
  readonly notUsers?: readonly number[];
  /** Sender's group, by number or name: any of these. */
  readonly groups?: readonly (number | string)[];
  readonly notGroups?: readonly (number | string)[];
  readonly mark?: number;
  readonly notMark?: number;
  readonly connectionMark?: number;
  readonly state?: 'established' | 'invalid';
}

export type Action =
  | { readonly kind: 'return' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'redirect'; readonly port: number }
  /** Tracked apart from other zones, and no rule after this one. */
  | { readonly kind: 'zone'; readonly zone: number }
  | { readonly kind: 'mark'; readonly mark: number }
  | { readonly kind: 'mark-and-accept'; readonly mark: number }
  | { readonly kind: 'tproxy'; readonly port: number; readonly mark: number }
  | { readonly kind: 'save-mark' }
  | { readonly kind: 'restore-mark' };

export interface Rule {
  /** Only for packets of this family; else of both. */
  readonly family?: Family;
  readonly match: Match;
  readonly action: Action;
}

export interface Chain {
  readonly table: 'raw' | 'mangle' | 'nat';
  readonly hook: 'prerouting' | 'output';
  readonly rules: readonly Rule[];
}

const ofAddress = (text: string, family: Family): Range => ({ family, text, isLoopback: true });
/** The one address that "localhost" is; the rest of 127.0.0.0/8 may be a virtual address. */
export const LOCALHOST: readonly Range[] = [ofAddress('127.0.0.1/32', 4), ofAddress('::1/128', 6)];
/** Where the proxy's connections to the application come from when nobody else's port is to be used (InboundPassthroughCluster). */
export const PASSTHROUGH_SOURCE: readonly Range[] = [ofAddress('127.0.0.6/32', 4), ofAddress('::6/128', 6)];

/** The family that a rule's addresses are of, if any. */
export function familyOf({ family, match }: Rule): Family | undefined {
  return family ?? (match.destination ?? match.notDestination ?? match.source)?.family;
}
