// Interception tests: lateen-redirect as an init container runs it.
import { REPOSITORY } from '../../harness/repository.js';
import type { Namespace, Run } from './network.js';

export const BACKENDS = ['nftables', 'iptables'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** What injection asks for, with what tests leave out of it. */
export const USUAL = [
  ...['-p', '15001', '-z', '15006', '-u', '1337', '-m', 'REDIRECT', '-i', '*', '-x', '10.9.0.0/16,fd09::/16'],
  ...['-b', '*', '-d', '15090,15021,15020,9090', '-o', '9999'],
];

/** Runs it in a namespace, with name servers of its own. */
export function tryRedirect(pod: Namespace, args: readonly string[]): Run {
  return pod.tryRun([process.execPath, `${REPOSITORY}apps/redirect/dist/main.js`, ...args]);
}

/** @throws Error with what it said, where it fails */
export function redirect(pod: Namespace, backend: BackendName, args: readonly string[]): string {
  const { exitCode, stdout, stderr } = tryRedirect(pod, ['--mode', backend, ...args]);
  if (exitCode !== 0) throw new Error(`lateen-redirect ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** Rules of all kinds, without counts of packets. */
export function standingRules(pod: Namespace): string {
  const texts = [
    'nft list ruleset',
    'iptables-save',
    'ip6tables-save',
    'ip rule',
    'ip -6 rule',
    'ip addr show dev lo',
  ].map((command) => pod.run(command));
  return texts
    .join('\n')
    .replace(/^#.*\n/gm, '')
    .replaceAll(/counter packets \d+ bytes \d+|\[\d+:\d+\]/g, '');
}
