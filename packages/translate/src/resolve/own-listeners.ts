// Resolve: the addresses that a Sidecar resource has a proxy listen on, beside those that the registry gives it.

import type { PortProtocol } from '@lateen/istio-config';
import type { Problem } from '../model.js';
import type { MeshPort, MeshService } from './mesh-index.js';
import type { SidecarScope } from './sidecar-scope.js';

/** An egress listener at an address of its own, and what it leads to. */
export interface OwnOutbound {
  readonly ip: string;
  readonly port: number;
  /** What its Sidecar says that callers speak. */
  readonly protocol: PortProtocol;
  /** It is a forward proxy: requests name hosts of any port. */
  readonly forwardProxy: boolean;
  /** Where connections are intercepted, those to its address come by that. */
  readonly captured: boolean;
  /** The services that have its port, in the order of their names. */
  readonly services: readonly { readonly service: MeshService; readonly port: MeshPort }[];
}

/** Every address of a host, or its own loopback ones: pods with a network of their own have them for themselves. */
const OF_EVERY_HOST: ReadonlySet<string> = new Set(['0.0.0.0', '::', '127.0.0.1', '::1']);

/** Pods without a network of their own, as in local mode, are told apart by their loopback addresses. */
function sharesLoopback(podAddress: string): boolean {
  return podAddress.startsWith('127.') || podAddress === '::1';
}

/** Only the pod's own application may call as the pod does: at an address that others reach, that is the loopback one. */
export function ownLoopback(podAddress: string): string {
  if (sharesLoopback(podAddress)) return podAddress;
  return podAddress.includes(':') ? '::1' : '127.0.0.1';
}

/**
 * The address to bind for what a Sidecar says. Where pods share the loopback addresses, `127.0.0.1` and `0.0.0.0` are the
 * pod's own address, and it has no other.
 *
 * @param fallback where nothing is said
 * @returns undefined where the pod cannot have the address
 */
export function boundAddress(podAddress: string, bind: string, fallback: string): string | undefined {
  if (bind === '') return fallback;
  if (!sharesLoopback(podAddress)) return bind;
  return OF_EVERY_HOST.has(bind) || bind === podAddress ? podAddress : undefined;
}

/** What is said of an address that a pod cannot have. */
export function unusableBind(subject: string, bind: string, port: number, podAddress: string): Problem {
  return {
    code: 'unusable-bind',
    severity: 'warning',
    subject,
    message: `${bind}:${port} is not listened on: pods of this mesh share a machine, and ${podAddress} is the address that this one has. Write 127.0.0.1 or 0.0.0.0, which stand for it, or remove \`bind\``,
  };
}

/** The egress listeners of a proxy that have an address of their own. */
export function resolveOwnOutbound(
  sidecar: SidecarScope | undefined,
  services: readonly MeshService[],
  podAddress: string,
): { readonly listeners: readonly OwnOutbound[]; readonly problems: readonly Problem[] } {
  const listeners: OwnOutbound[] = [];
  const problems: Problem[] = [];
  for (const { port, bind, protocol, forwardProxy, captured } of sidecar?.ownListeners ?? []) {
    const subject = `Sidecar/${sidecar!.name}`;
    const ip = boundAddress(podAddress, bind, ownLoopback(podAddress));
    if (ip === undefined) {
      problems.push(unusableBind(subject, bind, port, podAddress));
      continue;
    }
    if (forwardProxy) {
      listeners.push({ ip, port, protocol, forwardProxy, captured, services: [] });
      continue;
    }
    const behind = services.flatMap((service) =>
      service.ports.flatMap((each) => (each.port === port && (each.http || each.tcp) ? [{ service, port: each }] : [])),
    );
    if (behind.length === 0) {
      const message = `the egress listener of port ${port} leads nowhere: no service that it takes in has that port. Correct the port, or \`hosts\``;
      problems.push({ code: 'empty-listener', severity: 'warning', subject, message });
    }
    listeners.push({ ip, port, protocol, forwardProxy, captured, services: behind });
  }
  return { listeners, problems };
}
