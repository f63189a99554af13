// Meaning of WorkloadEntry.
import { dnsNameFault, isIpAddress } from '../../declare/formats.js';
import type { WorkloadEntrySpec } from '../../kinds/workloads/workload-entry.js';
import type { MeaningRule } from '../rule.js';

const SOCKET = 'unix://';

export const checkWorkloadEntry: MeaningRule<WorkloadEntrySpec> = (spec, faults) => {
  const { address, network, ports } = spec;
  if (address === undefined && 'address' in spec) return;
  if (address === undefined || address === '') {
    const at = address === undefined ? [] : ['address'];
    if (network === undefined || network === '') {
      faults.error(at, 'required', '`address` is required in WorkloadEntry; add it');
    } else {
      const message = `no address: requests go to a gateway of the network \`${network}\`; is that meant?`;
      faults.warning(at, 'required', message);
    }
    return;
  }
  if (address.startsWith(SOCKET)) {
    const wrong = socketFault(address.slice(SOCKET.length));
    if (wrong) faults.error(['address'], 'address', `the socket \`${address}\` ${wrong}`);
    if (ports && Object.keys(ports).length > 0) {
      faults.error(['ports'], 'one-of', 'a socket has no ports; remove `ports`', 'key');
    }
  } else if (!isIpAddress(address) && dnsNameFault(address) !== undefined) {
    const message = `\`${address}\` is not an address; write an IP address, a DNS name or unix:///PATH`;
    faults.error(['address'], 'address', message);
  }
};

function socketFault(path: string): string | undefined {
  if (path === '' || path === '@') return 'has no path; write unix:///PATH or unix://@NAME';
  if (path.startsWith('@')) return undefined;
  if (!path.startsWith('/')) return 'has no absolute path; write unix:///PATH or unix://@NAME';
  return path.endsWith('/') ? 'is a directory; write the path of a socket' : undefined;
}
