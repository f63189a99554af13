// Discovery: names that are answered by a DNS server of the test, its failures and changes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type DnsServer, startDnsServer } from '../../testing/dns-server.js';
import { DnsDiscovery } from './dns-discovery.js';
import { DnsResolver } from './name-resolver.js';
import { HostsFile, SearchDomains } from './system-names.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function dnsServer(): Promise<DnsServer> {
  const server = await startDnsServer();
  cleanups.push(() => server.close());
  return server;
}

function file(content: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-names-'));
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'file');
  writeFileSync(path, content);
  return path;
}

type Json = Record<string, unknown>;

function dnsCluster(server: DnsServer, hosts: readonly string[], extra: Json = {}): Cluster {
  return fromEnvoyJson(ClusterSchema, {
    name: 'c',
    type: 'STRICT_DNS',
    dns_lookup_family: 'V4_ONLY',
    dns_refresh_rate: '0.02s',
    load_assignment: {
      cluster_name: 'c',
      endpoints: [
        {
          lb_endpoints: hosts.map((host) => ({
            endpoint: { address: { socket_address: { address: host, port_value: 80 } } },
            load_balancing_weight: 3,
          })),
        },
      ],
    },
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig',
        resolvers: [{ socket_address: { address: '127.0.0.1', port_value: server.port } }],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
    ...extra,
  });
}

function follow(...clusters: Cluster[]) {
  const log = vi.fn();
  const onChange = vi.fn();
  const discovery = new DnsDiscovery({ onChange, log });
  cleanups.push(() => discovery.close());
  discovery.follow(clusters);
  const addresses = (cluster = clusters[0]!) =>
    (discovery.assignmentOf(cluster)?.endpoints ?? []).flatMap(({ lbEndpoints }) =>
      lbEndpoints.map(({ hostIdentifier }) => {
        const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
        return address?.case === 'socketAddress' ? address.value.address : '';
      }),
    );
  const ready = (limitMs = 10_000) => discovery.whenReady(clusters, limitMs);
  return { discovery, log, onChange, addresses, ready };
}

describe('STRICT_DNS', () => {
  it('takes every address of every name, with the weight of its endpoint and its name as host name', async () => {
    const server = await dnsServer();
    server.set('a.test', { addresses: ['10.0.0.1', '10.0.0.2'] });
    server.set('b.test', { addresses: ['10.0.0.2', '10.0.0.3'] });
    const cluster = dnsCluster(server, ['a.test', 'b.test', '10.0.0.9']);
    const { discovery, addresses, ready } = follow(cluster);
    expect(discovery.isReady(cluster)).toBe(false);
    expect(await ready()).toEqual([]);
    expect(addresses()).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.9']);
    const [first] = discovery.assignmentOf(cluster)?.endpoints[0]?.lbEndpoints ?? [];
    expect(first).toMatchObject({ loadBalancingWeight: 3, hostIdentifier: { value: { hostname: 'a.test' } } });
  });

  it('follows changes, and neither another order nor a failure changes anything', async () => {
    const server = await dnsServer();
    server.set('a.test', { addresses: ['10.0.0.1', '10.0.0.2'] });
    const { addresses, ready, log, onChange } = follow(dnsCluster(server, ['a.test']));
    await ready();
    const changes = onChange.mock.calls.length;
    const asked = async (more: number) => {
      const before = server.questions.length;
      await vi.waitFor(() => expect(server.questions.length).toBeGreaterThanOrEqual(before + more), {
        timeout: 10_000,
      });
    };
    server.set('a.test', { addresses: ['10.0.0.2', '10.0.0.1'] });
    await asked(3);
    server.set('a.test', 'SERVFAIL');
    await vi.waitFor(() => expect(log).toHaveBeenCalledTimes(1), { timeout: 10_000 });
    expect(log.mock.calls[0]).toEqual([
      'warn',
      'a name cannot be resolved; the addresses known last stay in use',
      { cluster: 'c', name: 'a.test', reason: expect.stringContaining('ESERVFAIL') },
    ]);
    expect(addresses()).toEqual(['10.0.0.1', '10.0.0.2']);
    expect(onChange).toHaveBeenCalledTimes(changes);
    server.set('a.test', { addresses: ['10.0.0.3', '10.0.0.2'] });
    await vi.waitFor(() => expect(addresses()).toEqual(['10.0.0.2', '10.0.0.3']), { timeout: 10_000 });
    // That a name has no address any more is an answer, as in Envoy.
    server.set('a.test', 'NXDOMAIN');
    await vi.waitFor(() => expect(addresses()).toEqual([]), { timeout: 10_000 });
  });

  it('asks again when the records expire, if the time to live counts', async () => {
    const server = await dnsServer();
    server.set('long.test', { addresses: ['10.0.0.1'], ttlSeconds: 3600 });
    server.set('short.test', { addresses: ['10.0.0.2'], ttlSeconds: 1 });
    const { ready, addresses } = follow(
      dnsCluster(server, ['long.test', 'short.test'], { respect_dns_ttl: true, dns_refresh_rate: '3600s' }),
    );
    await ready();
    server.set('long.test', { addresses: ['10.0.0.8'] });
    server.set('short.test', { addresses: ['10.0.0.9'], ttlSeconds: 1 });
    await vi.waitFor(() => expect(addresses()).toEqual(['10.0.0.1', '10.0.0.9']), { timeout: 10_000 });
    expect(server.questions.filter((question) => question === 'A long.test')).toHaveLength(1);
  });

  it.each([
    ['AUTO', { addresses: ['10.0.0.1', 'fd00::1'] }, ['fd00::1']],
    ['AUTO', { addresses: ['10.0.0.1'] }, ['10.0.0.1']],
    ['V4_PREFERRED', { addresses: ['10.0.0.1', 'fd00::1'] }, ['10.0.0.1']],
    ['V4_PREFERRED', { addresses: ['fd00::1'] }, ['fd00::1']],
    ['V6_ONLY', { addresses: ['10.0.0.1'] }, []],
    ['ALL', { addresses: ['10.0.0.1', 'fd00::1'] }, ['10.0.0.1', 'fd00::1']],
  ])('%s with %j gives %j', async (family, answer, expected) => {
    const server = await dnsServer();
    server.set('a.test', answer);
    const { ready, addresses } = follow(dnsCluster(server, ['a.test'], { dns_lookup_family: family }));
    await ready();
    expect(addresses()).toEqual(expected);
  });

  it('waits for the first answer unless told not to, and a newer version begins with what the older one knew', async () => {
    const server = await dnsServer();
    server.set('a.test', { addresses: ['10.0.0.1'] });
    const patient = dnsCluster(server, ['a.test'], { wait_for_warm_on_init: false });
    const { discovery, addresses } = follow(patient);
    expect(discovery.isReady(patient)).toBe(true);
    expect(addresses()).toEqual([]);
    await vi.waitFor(() => expect(addresses()).toEqual(['10.0.0.1']), { timeout: 10_000 });
    const newer = dnsCluster(server, ['a.test'], { connect_timeout: '2s' });
    discovery.follow([newer]);
    expect(discovery.isReady(newer)).toBe(true);
    expect(addresses(newer)).toEqual(['10.0.0.1']);
    expect(discovery.assignmentOf(patient)).toBeUndefined();
  });

  it('says which names are not known in time', async () => {
    const server = await dnsServer();
    const cluster = dnsCluster(server, ['a.test']);
    const { discovery } = follow(cluster);
    await server.close();
    cleanups.splice(0, 1);
    expect(await discovery.whenReady([cluster], 50)).toEqual(['c']);
  });
});

describe('LOGICAL_DNS', () => {
  it('takes one address, and another one only when the name does not have it any more', async () => {
    const server = await dnsServer();
    server.set('a.test', { addresses: ['10.0.0.1', '10.0.0.2'] });
    const { ready, addresses } = follow(dnsCluster(server, ['a.test'], { type: 'LOGICAL_DNS' }));
    await ready();
    const [used] = addresses();
    expect(['10.0.0.1', '10.0.0.2']).toContain(used);
    const other = used === '10.0.0.1' ? '10.0.0.2' : '10.0.0.1';
    server.set('a.test', { addresses: [other, used!] });
    const before = server.questions.length;
    await vi.waitFor(() => expect(server.questions.length).toBeGreaterThan(before + 2), { timeout: 10_000 });
    expect(addresses()).toEqual([used]);
    server.set('a.test', 'NXDOMAIN');
    const then = server.questions.length;
    await vi.waitFor(() => expect(server.questions.length).toBeGreaterThan(then + 2), { timeout: 10_000 });
    expect(addresses()).toEqual([used]);
    server.set('a.test', { addresses: [other] });
    await vi.waitFor(() => expect(addresses()).toEqual([other]), { timeout: 10_000 });
  });
});

describe('DnsResolver', () => {
  const resolver = (server: DnsServer, hosts: string, resolv: string) => {
    const created = new DnsResolver({
      servers: [`127.0.0.1:${server.port}`],
      exactNames: false,
      hosts: new HostsFile(file(hosts)),
      search: new SearchDomains(file(resolv)),
    });
    cleanups.push(() => created.close());
    return created;
  };

  it('reads the hosts file first, and again after it changed', async () => {
    const server = await dnsServer();
    const hosts = file('# comment\n10.1.0.1 Web.local web # trailing\n10.1.0.2 web\nfe80::1 web\nnonsense\n');
    const created = new DnsResolver({
      servers: [`127.0.0.1:${server.port}`],
      exactNames: true,
      hosts: new HostsFile(hosts),
    });
    cleanups.push(() => created.close());
    expect(await created.resolve('WEB', 4)).toEqual({ addresses: ['10.1.0.1', '10.1.0.2'], ttlMs: undefined });
    expect((await created.resolve('web', 6)).addresses).toEqual(['fe80::1']);
    expect((await created.resolve('api.localhost', 4)).addresses).toEqual(['127.0.0.1']);
    writeFileSync(hosts, '10.1.0.77 web\n');
    expect((await created.resolve('web', 4)).addresses).toEqual(['10.1.0.77']);
    expect(server.questions).toEqual([]);
  });

  it('completes names with the search list as resolv.conf says', async () => {
    const server = await dnsServer();
    server.set('reviews.default.svc.cluster.local', { addresses: ['10.0.0.5'], ttlSeconds: 7 });
    server.set('a.b.c.example', { addresses: ['10.0.0.6'] });
    const names = resolver(
      server,
      '',
      'nameserver 192.0.2.1\nsearch default.svc.cluster.local svc.cluster.local.\noptions timeout:1 ndots:2\n',
    );
    expect(await names.resolve('reviews', 4)).toEqual({ addresses: ['10.0.0.5'], ttlMs: 7_000 });
    expect((await names.resolve('a.b.c.example', 4)).addresses).toEqual(['10.0.0.6']);
    expect((await names.resolve('reviews.', 4)).addresses).toEqual([]);
    expect((await names.resolve('other', 4)).addresses).toEqual([]);
    expect(server.questions).toEqual([
      'A reviews.default.svc.cluster.local',
      'A a.b.c.example',
      'A reviews',
      'A other.default.svc.cluster.local',
      'A other.svc.cluster.local',
      'A other',
    ]);
  });
});
