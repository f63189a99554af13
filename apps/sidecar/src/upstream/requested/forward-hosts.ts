// Upstream: endpoints of clusters that go where each request says (Envoy's dynamic forward proxy): a host is resolved when it
// is first called, and forgotten when nobody calls it any more.

import { isIP } from 'node:net';
import { FORWARD_LOOP, type LocalReply, unresolvedHost } from '../../exchange/local-reply.js';
import type { DataPath } from '../../transport/data-path.js';
import { createNameResolver } from '../discovery/dns-settings.js';
import { type NameResolver, resolveName } from '../discovery/name-resolver.js';
import type { Endpoint } from '../endpoint.js';
import type { UpstreamCluster } from '../upstream-cluster.js';
import type { AskedHost, HostFinder, RequestedEndpoints } from './requested-endpoints.js';

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

/** The hosts of one cluster, by authority. It lives as long as the cluster's message. */
export class ForwardHosts implements HostFinder {
  private readonly hosts = new Map<string, Host>();
  private readonly resolver: NameResolver;

  constructor(
    private readonly path: DataPath,
    private readonly cluster: UpstreamCluster,
    private readonly endpoints: RequestedEndpoints,
    /** What is sent to this address would come back to this proxy to be sent out again. */
    private readonly isOwn: (address: string, port: number) => boolean,
  ) {
    this.resolver = createNameResolver(this.settings, undefined);
  }

  private get settings() {
    return this.cluster.forwards!;
  }

  find(asked: AskedHost): FoundHost | Promise<FoundHost> {
    const nowMs = Date.now();
    const key = asked.authority().toLowerCase();
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
    if (this.isOwn(address, port)) return FORWARD_LOOP;
    return this.endpoints.get(name, address, port, nowMs) ?? unresolvedHost('dns_cache_overflow');
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
    for (const endpoint of this.endpoints.all()) {
      if (nowMs - endpoint.requestedAtMs > hostTtlMs) this.endpoints.retire(endpoint, nowMs);
    }
  }
}

const HTTP_PORT = 80;

/** Undefined for what cannot be called: no host, or a port that is none. IPv6 addresses stand in brackets. */
function readAuthority(authority: string): { readonly name: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@?#\s]+))(?::(\d{1,5}))?$/.exec(authority);
  const name = match?.[1] ?? match?.[2];
  const port = match?.[3] === undefined ? HTTP_PORT : Number(match[3]);
  return name === undefined || port < 1 || port > 65_535 ? undefined : { name, port };
}
