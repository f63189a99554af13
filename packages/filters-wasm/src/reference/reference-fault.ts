// Reference: which fault of the three places counts, and what may become of a request under it.

/** Shares in millionths. */
export interface PlainFault {
  readonly delayMs: number;
  readonly delayShare: number;
  readonly status: number;
  readonly abortShare: number;
}

/** `undefined`: says nothing about faults; `off`: switches the filter off. */
export type FaultAt = PlainFault | 'off' | undefined;

/** The fault for a request: the route's, else the virtual host's, both only where a route matched, else the filter's own. */
export function faultFor(matched: boolean, route: FaultAt, host: FaultAt, own: PlainFault | undefined): FaultAt {
  return (matched ? (route ?? host) : undefined) ?? own;
}

/** How likely each outcome is, as `DELAY,STATUS` with 0 for none. */
export function outcomes(fault: FaultAt): ReadonlyMap<string, number> {
  if (fault === undefined || fault === 'off') return new Map([['0,0', 1]]);
  const delayed = fault.delayShare / 1e6;
  const aborted = fault.abortShare / 1e6;
  const all: [string, number][] = [
    ['0,0', (1 - delayed) * (1 - aborted)],
    [`${fault.delayMs},0`, delayed * (1 - aborted)],
    [`0,${fault.status}`, (1 - delayed) * aborted],
    [`${fault.delayMs},${fault.status}`, delayed * aborted],
  ];
  return new Map(all.filter(([, share]) => share > 0));
}
