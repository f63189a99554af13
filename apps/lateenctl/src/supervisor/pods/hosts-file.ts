// Pods: the names that a pod can call, in the form of /etc/hosts: what a cluster's DNS would say. Pure.

import { type KubeService, serviceHost } from '../../kubernetes/objects.js';
import type { EntryHost } from '../registry/entry-hosts.js';

export interface HostsFileInput {
  readonly namespace: string;
  readonly services: readonly KubeService[];
  readonly entryHosts: readonly EntryHost[];
  /** The pod's own address for calls to a host. */
  readonly serviceAddress: (host: string) => string;
}

/** The names of a service as seen from a namespace, the full one first, as DNS with the search list of a pod has them. */
function namesOf(service: KubeService, namespace: string): string[] {
  const { name } = service;
  const names = [serviceHost(service), `${name}.${service.namespace}.svc`, `${name}.${service.namespace}`];
  return service.namespace === namespace ? [...names, name] : names;
}

/** One line for each service and for each host of a ServiceEntry; the form has none for wildcards. */
export function hostsFileText({ namespace, services, entryHosts, serviceAddress }: HostsFileInput): string {
  const lines = [
    '# What this pod calls, and the address of its own that stands for it. Written anew whenever that changes.',
    '127.0.0.1 localhost',
    ...services.map((service) => `${serviceAddress(serviceHost(service))} ${namesOf(service, namespace).join(' ')}`),
    ...entryHosts.filter(({ host }) => !host.startsWith('*')).map(({ host }) => `${serviceAddress(host)} ${host}`),
  ];
  return `${lines.join('\n')}\n`;
}
