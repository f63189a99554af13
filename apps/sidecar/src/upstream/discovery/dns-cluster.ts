// Discovery: one cluster whose endpoints are names. Resolves each of them again and again, and keeps what was good last.

import { isIP } from 'node:net';
import { create } from '@bufbuild/protobuf';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { EndpointSchema, type LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { Backoff } from '@lateen/xds-stream';
import type { DnsSettings } from './dns-settings.js';
import { type NameResolver, resolveName } from './name-resolver.js';

export interface DnsClusterOptions {
  readonly cluster: Cluster;
  readonly settings: DnsSettings;
  readonly resolver: NameResolver;
  /** What an older version of the cluster knew, by name: used until there is an answer. */
  readonly known: ReadonlyMap<string, readonly string[]>;
  /** Called after the first answer of all names, and whenever the addresses change. */
  readonly onChange: () => void;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void;
}

/** One name of the cluster; the same name at several ports is asked for once. */
interface Name {
  readonly host: string;
  addresses: readonly string[];
  /** There was an answer, or a failure. */
  tried: boolean;
  failing: boolean;
  readonly backoff: Backoff;
  timer: NodeJS.Timeout | undefined;
}

export class DnsCluster {
  readonly #names = new Map<string, Name>();
  #assignment: ClusterLoadAssignment | undefined;
  #closed = false;

  constructor(private readonly options: DnsClusterOptions) {
    const { cluster, settings, known } = options;
    const { base, max } = settings.failureRefreshMs;
    for (const lbEndpoint of (cluster.loadAssignment?.endpoints ?? []).flatMap(({ lbEndpoints }) => lbEndpoints)) {
      const host = socketOf(lbEndpoint)?.address;
      if (host === undefined || this.#names.has(host)) continue;
      const literal = isIP(host) !== 0;
      this.#names.set(host, {
        host,
        addresses: literal ? [host] : (known.get(host) ?? []),
        tried: literal || known.has(host),
        failing: false,
        backoff: new Backoff({ initialMs: base, maxMs: max }),
        timer: undefined,
      });
    }
  }

  /** Starts asking. */
  start(): void {
    for (const name of this.#names.values()) if (isIP(name.host) === 0) void this.#refresh(name);
  }

  close(): void {
    this.#closed = true;
    for (const { timer } of this.#names.values()) clearTimeout(timer);
    this.options.resolver.close();
  }

  /** Every name was answered, or failed, at least once. */
  get tried(): boolean {
    return [...this.#names.values()].every(({ tried }) => tried);
  }

  /** Addresses by name. */
  get known(): ReadonlyMap<string, readonly string[]> {
    return new Map(
      [...this.#names.values()].filter(({ tried }) => tried).map(({ host, addresses }) => [host, addresses]),
    );
  }

  /** The endpoints of the moment: the same object as long as they stay the same. */
  get assignment(): ClusterLoadAssignment {
    this.#assignment ??= this.#assemble();
    return this.#assignment;
  }

  async #refresh(name: Name): Promise<void> {
    const { settings, cluster, log } = this.options;
    let nextMs = settings.refreshMs;
    let changed = !name.tried;
    try {
      const { addresses, ttlMs } = await resolveName(this.options.resolver, settings, name.host);
      if (this.#closed) return;
      if (settings.respectTtl && ttlMs !== undefined && ttlMs > 0) nextMs = ttlMs;
      name.backoff.reset();
      name.failing = false;
      const next = settings.logical ? sticky(name.addresses, addresses) : stable(name.addresses, addresses);
      if (addresses.length === 0 && (!name.tried || name.addresses.length > 0)) {
        const kept = settings.logical && name.addresses.length > 0 ? '; the last address stays in use' : '';
        log('warn', `a name has no address${kept}`, { cluster: cluster.name, name: name.host });
      }
      if (next.join() !== name.addresses.join()) changed = true;
      name.addresses = next;
    } catch (error) {
      if (this.#closed) return;
      nextMs = name.backoff.nextMs();
      // One line for an outage.
      if (!name.failing) {
        const fields = { cluster: cluster.name, name: name.host, reason: (error as Error).message };
        log('warn', 'a name cannot be resolved; the addresses known last stay in use', fields);
      }
      name.failing = true;
    }
    name.tried = true;
    name.timer = setTimeout(() => void this.#refresh(name), nextMs);
    name.timer.unref();
    if (!changed) return;
    this.#assignment = undefined;
    this.options.onChange();
  }

  #assemble(): ClusterLoadAssignment {
    const { loadAssignment } = this.options.cluster;
    const seen = new Set<string>();
    const expand = (lbEndpoint: LbEndpoint): LbEndpoint[] => {
      const socket = socketOf(lbEndpoint);
      if (socket === undefined) return [];
      const addresses = this.#names.get(socket.address)?.addresses ?? [];
      return addresses.flatMap((address) => {
        const key = `${address} ${socket.port}`;
        if (seen.has(key)) return [];
        seen.add(key);
        return [withAddress(lbEndpoint, address, socket)];
      });
    };
    return {
      ...(loadAssignment ?? create(ClusterLoadAssignmentSchema)),
      endpoints: (loadAssignment?.endpoints ?? []).map((locality) => ({
        ...locality,
        lbEndpoints: locality.lbEndpoints.flatMap(expand),
      })),
    };
  }
}

interface SocketTarget {
  readonly address: string;
  readonly port: number;
}

function socketOf({ hostIdentifier }: LbEndpoint): SocketTarget | undefined {
  const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
  if (address?.case !== 'socketAddress' || address.value.portSpecifier.case !== 'portValue') return undefined;
  return { address: address.value.address, port: address.value.portSpecifier.value };
}

/** The endpoint at one of its addresses; its host name, unless given, is the name that was resolved. */
function withAddress(lbEndpoint: LbEndpoint, address: string, target: SocketTarget): LbEndpoint {
  const hostname = lbEndpoint.hostIdentifier.case === 'endpoint' ? lbEndpoint.hostIdentifier.value.hostname : '';
  const endpoint = create(EndpointSchema, {
    hostname: hostname || target.address,
    address: {
      address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: target.port } } },
    },
  });
  return { ...lbEndpoint, hostIdentifier: { case: 'endpoint', value: endpoint } };
}

/** The same addresses in another order are no change. */
function stable(held: readonly string[], next: readonly string[]): readonly string[] {
  return [...held.filter((address) => next.includes(address)), ...next.filter((address) => !held.includes(address))];
}

/** One address, the one in use as long as the name still has it. */
function sticky(held: readonly string[], next: readonly string[]): readonly string[] {
  const [present] = held;
  if (present !== undefined && (next.length === 0 || next.includes(present))) return [present];
  return next.slice(0, 1);
}
