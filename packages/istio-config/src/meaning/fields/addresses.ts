// Meaning of addresses that are listened on or gone on to: IP addresses and sockets.
import type { FaultList } from '../../declare/fault.js';
import { isIpAddress } from '../../declare/formats.js';
import type { FieldPath } from '../../problem.js';

/** Whether the text says that it is a socket. */
export function isSocketAddress(text: string): boolean {
  return text.startsWith('unix://');
}

/** What is wrong with `unix:///PATH` or the abstract `unix://@NAME`. */
export function socketAddressFault(text: string): string | undefined {
  const path = text.slice('unix://'.length);
  if (path.startsWith('@') ? path.length > 1 : path.startsWith('/') && !path.endsWith('/')) return undefined;
  return `\`${text}\` is not the address of a socket; write unix:///PATH or unix://@NAME`;
}

/** An address to listen on; with `sockets` one may stand in its place. */
export function checkBind(
  bind: string | undefined,
  { sockets }: { readonly sockets: boolean },
  path: FieldPath,
  faults: FaultList,
): void {
  if (bind === undefined || bind === '' || isIpAddress(bind)) return;
  if (sockets && isSocketAddress(bind)) {
    const wrong = socketAddressFault(bind);
    if (wrong) faults.error(path, 'address', wrong);
    return;
  }
  const advice = sockets ? 'write an IP address or unix:///PATH' : 'write an IP address';
  faults.error(path, 'address', `\`${bind}\` is not an address that can be listened on here; ${advice}`);
}

const OWN_ADDRESSES: ReadonlySet<string> = new Set(['', '127.0.0.1', '0.0.0.0', '[::1]', '[::]']);

/** Where a workload listens itself: `127.0.0.1:PORT` and its like, or a socket. */
export function checkDefaultEndpoint(endpoint: string | undefined, path: FieldPath, faults: FaultList): void {
  if (endpoint === undefined || endpoint === '') return;
  if (isSocketAddress(endpoint)) {
    const wrong = socketAddressFault(endpoint);
    if (wrong) faults.error(path, 'address', wrong);
    return;
  }
  const colon = endpoint.lastIndexOf(':');
  const port = endpoint.slice(colon + 1);
  const isPort = /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535;
  if (colon >= 0 && isPort && OWN_ADDRESSES.has(endpoint.slice(0, colon))) return;
  const advice = 'write 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH';
  faults.error(path, 'address', `\`${endpoint}\` is not an endpoint; ${advice}`);
}
