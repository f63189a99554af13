// Upstream: endpoints of clusters that go where each request says (Envoy's dynamic forward proxy): a host is resolved when it
// is first called, and forgotten when nobody calls it any more.

import { isIP } from 'node:net';
import { create } from '@bufbuild/protobuf';
import {
  type LbEndpoint,
  LbEndpointSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { FORWARD_LOOP, type LocalReply, unresolvedHost } from '../exchange/local-reply.js';
import type { DataPath } from '../transport/data-path.js';
import { createNameResolver } from './discovery/dns-settings.js';
import { type NameResolver, resolveName } from './discovery/name-resolver.js';
import { Endpoint } from './endpoint.js';
import type { UpstreamCluster } from './upstream-cluster.js';
import type { UpstreamTransport } from './upstream-transport.js';

/** Where a request goes, or what it is answered. */
export type FoundHost = Endpoint | LocalReply;

interface Host {
  readonly name: string;
  readonly port: number;
  address: string;
  /** Until when what is known of it is good (ms since the epoch). */
  expiresMs: number;
  /** Why it has no address, where it has none. */
  refused: LocalReply | undefined;
  /** Times in a row that it could not be resolved. */
  failures: number;
  usedMs: number;
  /** Under way; later requests wait for the same answer. */
  pending: Promise<FoundHost> | undefined;
}

export interface ForwardHostsOptions {
  readonly transportOf: (endpoint: LbEndpoint) => UpstreamTransport;
  /** What is sent to this address would come back to this proxy to be sent out again. */
  readonly isOwn: (address: string, port: number) => boolean;
}

/** The hosts of one cluster, by authority. It lives as long as the cluster's message. */
export class ForwardHosts {
  private readonly hosts = new Map<string, Host>();
  private readonly resolver: NameResolver;

  constructor(
    private readonly path: DataPath,
    private readonly cluster: UpstreamCluster,
    private readonly options: ForwardHostsOptions,
  ) {
    this.resolver = createNameResolver(this.settings, undefined);
  }

  private get settings() {
    return this.cluster.forwards!;
  }

  /** @param authority as the request says it: `HOST` or `HOST:PORT` */
  find(authority: string): FoundHost | Promise<FoundHost> {
    const nowMs = Date.now();
    const key = authority.toLowerCase();
    let host = this.hosts.get(key);
    if (host === undefined) {
      const target = readAuthority(key);
      if (target === undefined) return unresolvedHost('not_a_host');
      this.forgetUnused(nowMs);
      if (this.hosts.size >= this.settings.maxHosts) this.forgetRefused();
      if (this.hosts.size >= this.settings.maxHosts) return unresolvedHost('dns_cache_overflow');
      const unknown = { address: '', expiresMs: 0, refused: undefined, failures: 0, pending: undefined };
      host = { ...target, ...unknown, usedMs: nowMs };
      this.hosts.set(key, host);
    }
    host.usedMs = nowMs;
    if (host.pending !== undefined) return host.pending;
    if (isIP(host.name) !== 0) {
      host.address = host.name;
      host.expiresMs = Number.POSITIVE_INFINITY;
    }
    if (host.expiresMs > nowMs) return host.refused ?? this.endpointOf(host, nowMs);
    host.pending = this.resolve(host);
    return host.pending;
  }

  private async resolve(host: Host): Promise<FoundHost> {
    try {
      const { addresses, ttlMs } = await resolveName(this.resolver, this.settings, host.name);
      const [first] = addresses;
      if (first === undefined) {
        host.address = '';
        return this.refuse(host, 'no_address');
      }
      // The address in use stays as long as the name has it.
      if (!addresses.includes(host.address)) host.address = first;
      const nowMs = Date.now();
      host.refused = undefined;
      host.failures = 0;
      host.expiresMs = nowMs + (ttlMs !== undefined && ttlMs > 0 ? ttlMs : this.settings.refreshMs);
      return this.endpointOf(host, nowMs);
    } catch (error) {
      this.path.log('warn', 'a host cannot be resolved', { host: host.name, reason: (error as Error).message });
      const refused = this.refuse(host, 'no_answer');
      if (host.address === '') return refused;
      // What was good last stays in use where nobody answers.
      host.refused = undefined;
      return this.endpointOf(host, Date.now());
    } finally {
      host.pending = undefined;
    }
  }

  /** Nobody is asked again for a while: a name that is called often would be asked for with each request. */
  private refuse(host: Host, why: string): LocalReply {
    const { failureMs, maxFailureMs } = this.settings;
    host.expiresMs = Date.now() + Math.min(failureMs * 2 ** host.failures, Math.max(failureMs, maxFailureMs));
    // Beyond it no time would be longer.
    host.failures = Math.min(host.failures + 1, 30);
    host.refused = unresolvedHost(why);
    return host.refused;
  }

  private endpointOf({ name, address, port }: Host, nowMs: number): FoundHost {
    const { path, cluster } = this;
    if (this.options.isOwn(address, port)) return FORWARD_LOOP;
    const config = lbEndpoint(name, address, port);
    const description = path.tables.addEndpoint(cluster.slot, address, port, config, nowMs);
    if (description === undefined) return unresolvedHost('dns_cache_overflow');
    const known = path.endpoints[description.slot];
    if (known?.address === address && known.port === port && known.cluster.name === cluster.name) {
      known.requestedAtMs = nowMs;
      if (!known.live) known.update(cluster, this.options.transportOf(config), config);
      return known;
    }
    const endpoint = new Endpoint(path, description.slot, address, port, cluster, this.options.transportOf(config));
    endpoint.requestedAtMs = nowMs;
    endpoint.config = config;
    path.endpoints[description.slot] = endpoint;
    return endpoint;
  }

  /** Names that nobody can resolve must not keep others out. */
  private forgetRefused(): void {
    for (const [key, { refused, pending }] of this.hosts) {
      if (refused !== undefined && pending === undefined) this.hosts.delete(key);
    }
  }

  private forgetUnused(nowMs: number): void {
    const { hostTtlMs } = this.settings;
    for (const [key, { usedMs, pending }] of this.hosts) {
      if (pending === undefined && nowMs - usedMs > hostTtlMs) this.hosts.delete(key);
    }
    for (const endpoint of this.path.endpoints) {
      if (endpoint?.live !== true || endpoint.cluster.name !== this.cluster.name) continue;
      if (endpoint.requestedAtMs === 0 || nowMs - endpoint.requestedAtMs <= hostTtlMs) continue;
      endpoint.live = false;
      endpoint.retireIdle();
      const { address, port } = endpoint;
      this.path.tables.removeEndpoint({ clusterName: this.cluster.name, address, port }, nowMs);
    }
  }
}

function lbEndpoint(hostname: string, address: string, port: number): LbEndpoint {
  return create(LbEndpointSchema, {
    hostIdentifier: {
      case: 'endpoint',
      value: {
        hostname,
        address: {
          address: { case: 'socketAddress', value: { address, portSpecifier: { case: 'portValue', value: port } } },
        },
      },
    },
  });
}

const HTTP_PORT = 80;

/** Undefined for what cannot be called: no host, or a port that is none. IPv6 addresses stand in brackets. */
function readAuthority(authority: string): { readonly name: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@?#\s]+))(?::(\d{1,5}))?$/.exec(authority);
  const name = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? HTTP_PORT : Number(match[3]);
  return name === undefined || port < 1 || port > 65_535 ? undefined : { name, port };
}
