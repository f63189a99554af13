// Supervisor: what a process that no Deployment describes needs to join the mesh: an address, a bootstrap file, a token.

import { isAbsolute } from 'node:path';
import type { JoinRequest, JoinResponse } from '../control/control-api.js';
import { makePrivateDirectory } from '../state/private-directory.js';
import type { AddressBook } from './network/address-book.js';
import { requireLoopback } from './network/loopback-alias.js';
import type { SidecarRunner } from './pods/sidecar-runner.js';

export interface OutsideWorkloadsOptions {
  readonly addresses: AddressBook;
  readonly sidecars: SidecarRunner;
}

const OWNER = 'workload/';

/** Whether an address is that of a workload outside of the registry: it stays when pods change. */
export function isOutsideWorkload(owner: string): boolean {
  return owner.startsWith(OWNER);
}

/**
 * Writes the files with which somebody then starts the sidecar. The token and the trust roots are kept fresh as long as
 * this supervisor runs. @throws Error where the directory cannot be used, or no address is left
 */
export async function prepareOutsideWorkload(
  { addresses, sidecars }: OutsideWorkloadsOptions,
  { namespace, name, group, serviceAccount, labels, readinessProbe, directory }: JoinRequest,
): Promise<JoinResponse> {
  if (!isAbsolute(directory)) throw new Error(`${directory} is not an absolute path`);
  makePrivateDirectory(directory);
  const address = addresses.addressOf(`${OWNER}${namespace}/${name}`);
  await addresses.save();
  if (process.platform !== 'linux') await requireLoopback([address]);
  const node = {
    podName: name,
    namespace,
    workloadName: group,
    serviceAccount,
    labels,
    annotations: {},
    address,
    gateway: false,
  };
  const metadata = {
    AUTO_REGISTER_GROUP: group,
    ...(readinessProbe === undefined ? {} : { PROXY_CONFIG: { readinessProbe } }),
  };
  const { command, environment } = await sidecars.prepareOutside(node, directory, metadata);
  return { address, command, environment };
}
