// Edge: what is there beside the settings: address families, name servers, what this process may do.
import { readFileSync } from 'node:fs';
import { type DnsCapture, type Family, parseResolvers, type Range } from '@lateen/interception';
import { type Commands, RedirectError } from './commands.js';

const NET_ADMIN = 12n;
/** Global scope, in /proc/net/if_inet6. */
const GLOBAL_SCOPE = '00';
/** The proxy's port for names. */
export const DNS_PORT = 15_053;

/** IPv4, and IPv6 where the namespace has an address of it that others can reach: else nothing of it goes in or out. */
export function presentFamilies(commands: Commands): Family[] {
  const table = commands.tryRun('cat', ['/proc/net/if_inet6'])?.stdout ?? '';
  const hasGlobal = table
    .split('\n')
    .some((line) => line.trim().split(/\s+/)[3] === GLOBAL_SCOPE && !line.endsWith(' lo'));
  return hasGlobal ? [4, 6] : [4];
}

/** Whether this process may change rules. */
export function mayChangeRules(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> NET_ADMIN) & 1n) === 1n;
}

/** @throws RedirectError where it may not */
export function requireNetAdmin(): void {
  if (mayChangeRules()) return;
  throw new RedirectError(
    'changing rules needs the capability NET_ADMIN: run as root with NET_ADMIN and NET_RAW (the istio-init container), or, where a cluster forbids that, install the CNI plugin (docs/interception.md)',
  );
}

/** @throws RedirectError where the file cannot be read */
export function readDnsCapture(captureAll: boolean, resolvConf: string): DnsCapture {
  if (captureAll) return { servers: 'all', port: DNS_PORT };
  let servers: Range[];
  try {
    servers = parseResolvers(readFileSync(resolvConf, 'utf8'));
  } catch (error) {
    throw new RedirectError(
      `${resolvConf} cannot be read, so it is not known which name servers to capture (${(error as Error).message}); --capture-all-dns takes all`,
    );
  }
  return { servers, port: DNS_PORT };
}
