// Distribution: how people are told what Pilot says of it.

import type { DistributionReport, ProxyDistribution } from '@lateen/telemetry';

/** Who has not taken it, and why, one a line. */
export function incompleteText({ waitingFor, proxies }: DistributionReport, timeoutMs: number): string {
  const others = proxies.filter(({ state }) => state !== 'taken');
  const within = `within ${timeoutMs / 1000} s`;
  if (others.length === 0) return `not in effect ${within}: pilot waits for ${waitingFor}`;
  const lines = others.flatMap((proxy) => proxyLines(proxy, within));
  if (waitingFor !== undefined) lines.push(`pilot waits for ${waitingFor}`);
  return `not in effect at ${others.length} of ${proxies.length} proxies:\n${lines.map((line) => `  ${line}`).join('\n')}`;
}

function proxyLines({ proxyId, state, pending = [], reasons = [] }: ProxyDistribution, within: string): string[] {
  if (state === 'refused') return reasons.map(({ type, reason }) => `${proxyId} refused ${type}: ${reason}`);
  if (state === 'withheld') return reasons.map(({ reason }) => `${proxyId} was not sent it: ${reason}`);
  return [`${proxyId} has not answered ${within}${pending.length === 0 ? '' : ` (${pending.join(', ')})`}`];
}
