// Pod mode: connections to the application in the pod, from an address that redirect rules let pass: else they would come back.

import { isIPv6, type Socket } from 'node:net';
import { connectFrom } from '../transport/system/source-address.js';

/** What Istio's rules, and ours, do not redirect; `::6` is given to the pod by whoever writes the rules. */
const SOURCE = { ipv4: '127.0.0.6', ipv6: '::6' };

export function dialApplication({ host, port }: { readonly host: string; readonly port: number }): Socket {
  return connectFrom(isIPv6(host) ? SOURCE.ipv6 : SOURCE.ipv4, { host, port });
}
