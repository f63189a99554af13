// Peers: the other replicas of this Pilot, as the cluster's registry knows them: those that share a Service with this one.

import { isIPv6 } from 'node:net';
import { type IdentitySource, MtlsAgent, mtlsFetch, type SpiffeId } from '@lateen/identity';
import type { Registry } from '../registry/registry-store.js';

/** A pod. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

export interface PeerPilot {
  /** Of its pod. */
  readonly name: string;
  readonly address: string;
  /** By the names of the Service's ports. */
  readonly ports: Readonly<Record<string, number>>;
}

export interface PeerPilotsOptions {
  readonly self: PodName;
  readonly registry: () => Pick<Registry, 'services'> | undefined;
  readonly identity: IdentitySource;
  /** What a replica is certified as. */
  readonly spiffeId: SpiffeId;
}

/** What a peer answered. */
export interface PeerAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** Names of ports in Pilot's Service. */
export const ADMIN_PORT_NAME = 'https-admin';
export const XDS_PORT_NAME = 'grpc-xds';

export function hostAndPort(address: string, port: number): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${port}`;
}

export class PeerPilots {
  readonly #agent: MtlsAgent;
  readonly #fetch: ReturnType<typeof mtlsFetch>;

  constructor(private readonly options: PeerPilotsOptions) {
    this.#agent = new MtlsAgent({ source: options.identity, expectedSpiffeIds: [options.spiffeId] });
    this.#fetch = mtlsFetch(this.#agent);
  }

  get self(): string {
    return this.options.self.name;
  }

  /** The others that serve, by name. */
  list(): readonly PeerPilot[] {
    const { self, registry } = this.options;
    const own = `${self.namespace}/${self.name}`;
    const peers = new Map<string, PeerPilot>();
    for (const { namespace, endpoints = [] } of registry()?.services ?? []) {
      if (namespace !== self.namespace) continue;
      if (!endpoints.some(({ pod, ports }) => pod === own && ports[XDS_PORT_NAME] !== undefined)) continue;
      for (const { pod, addresses, ports, ready } of endpoints) {
        const [address] = addresses;
        if (pod === '' || pod === own || !ready || address === undefined) continue;
        const name = pod.slice(pod.indexOf('/') + 1);
        peers.set(name, { name, address, ports });
      }
    }
    return [...peers.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** GETs a page of a peer's admin API. Rejects where it cannot be asked, or takes too long. */
  async get(peer: PeerPilot, path: string, timeoutMs: number): Promise<PeerAnswer> {
    const port = peer.ports[ADMIN_PORT_NAME];
    if (port === undefined) throw new Error(`the Service has no port named ${ADMIN_PORT_NAME}`);
    const url = `https://${hostAndPort(peer.address, port)}${path}`;
    const response = await this.#fetch(url, { timeoutMs });
    return { status: response.status, body: await response.json() };
  }

  close(): void {
    this.#agent.destroy();
  }
}
