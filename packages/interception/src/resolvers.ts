// Settings: the name servers of a resolv.conf, whose traffic DNS capture takes.
import { ipVersion } from '@lateen/istio-config/ip-address';
import type { Range } from './interception.js';
import { rangeOfAddress } from './parse-values.js';

/** Servers in their order, each once. Where none is written, resolvers ask 127.0.0.1 (resolv.conf(5)). */
export function parseResolvers(resolvConf: string): Range[] {
  const addresses = resolvConf
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1])
    // Without the zone of a link-local address, which rules do not know.
    .flatMap((address) => (address === undefined ? [] : [address.replace(/%.*$/, '')]))
    .filter((address) => ipVersion(address) !== 0);
  return (addresses.length === 0 ? ['127.0.0.1'] : [...new Set(addresses)]).map(rangeOfAddress);
}
