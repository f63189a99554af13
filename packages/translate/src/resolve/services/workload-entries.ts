// Resolve: an endpoint of a ServiceEntry, or a WorkloadEntry, as somebody who answers for services.

import type { WorkloadEntrySpec } from '@lateen/istio-config';
import { localityOfLabels } from '../locality/locality.js';
import type { EntryEndpoint } from './service-declaration.js';

/** Says how a server takes TLS (Istio's label): `istio` or `disabled`. */
const TLS_MODE_LABEL = 'security.istio.io/tlsMode';
const SOCKET = 'unix://';

/** As Istio: the label decides, else who has a service account is taken to have a sidecar. */
function takesMutualTls({ labels, serviceAccount }: WorkloadEntrySpec): boolean {
  const mode = labels?.[TLS_MODE_LABEL];
  return mode === undefined ? Boolean(serviceAccount) : mode === 'istio';
}

/** @param name of the WorkloadEntry, or what stands for one */
export function entryEndpoint(spec: WorkloadEntrySpec, namespace: string, name: string): EntryEndpoint {
  const { address = '', ports = {}, labels = {}, weight, locality, serviceAccount = '' } = spec;
  return {
    name,
    namespace,
    address: address.startsWith(SOCKET) ? address.slice(SOCKET.length) : address,
    ports,
    labels,
    weight: weight || 1,
    locality: locality || localityOfLabels(labels),
    serviceAccount,
    mutualTls: takesMutualTls(spec),
    ready: true,
  };
}

const IP_ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$/;

/** Whether the address of an endpoint is a socket of the client's own machine: its path, or its name after `@`. */
export function isSocket(address: string): boolean {
  return address.startsWith('/') || address.startsWith('@');
}

/** By its form: validation has seen to the rest. */
export function isIpAddress(address: string): boolean {
  return IP_ADDRESS.test(address);
}

/** Why no call can go to an address; undefined where one can. Names are for clusters that resolve them. */
export function whyUnusable(address: string, byAddress: boolean): string | undefined {
  if (address === '') return 'it has no address, and gateways of other networks are not known';
  if (isSocket(address)) {
    return byAddress ? undefined : `unix://${address} is a socket, which needs a ServiceEntry with resolution STATIC`;
  }
  if (!byAddress || isIpAddress(address)) return undefined;
  return `${address} is a name, which needs a ServiceEntry with resolution DNS; write an IP address`;
}
