// Clusters that go where each request says (Envoy's dynamic forward proxy): names, addresses, failures, no loops.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DataPlaneConfig } from '../../data-plane.js';
import { type DnsServer, startDnsServer } from '../../testing/dns-server.js';
import { anyHost, connectionManager, dataPlaneConfig, listener, toCluster } from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../../testing/proxy-fixture.js';
import { eventually } from '../../testing/raw-peers.js';

const TYPE = 'type.googleapis.com/envoy.extensions';
let dns: DnsServer;

beforeEach(async () => {
  dns = await startDnsServer();
});
afterEach(() => dns.close());

function cacheConfig(extra: object): Record<string, unknown> {
  return {
    ...extra,
    name: 'forward',
    dns_lookup_family: 'V4_ONLY',
    typed_dns_resolver_config: {
      name: 'envoy.network.dns_resolver.cares',
      typed_config: {
        '@type': `${TYPE}.network.dns_resolver.cares.v3.CaresDnsResolverConfig`,
        resolvers: [{ socket_address: { address: '127.0.0.1', port_value: dns.port } }],
        dns_resolver_options: { no_default_search_domain: true },
      },
    },
  };
}

function forwarding(extra = {}): DataPlaneConfig {
  const dns_cache_config = cacheConfig(extra);
  const filter = {
    name: 'envoy.filters.http.dynamic_forward_proxy',
    typed_config: { '@type': `${TYPE}.filters.http.dynamic_forward_proxy.v3.FilterConfig`, dns_cache_config },
  };
  const manager = connectionManager(anyHost(toCluster('anywhere')), ACCESS_LOG, [filter]);
  return dataPlaneConfig(
    [listener('l', [{ filters: [manager] }])],
    [
      {
        name: 'anywhere',
        connect_timeout: '1s',
        lb_policy: 'CLUSTER_PROVIDED',
        cluster_type: {
          name: 'envoy.clusters.dynamic_forward_proxy',
          typed_config: { '@type': `${TYPE}.clusters.dynamic_forward_proxy.v3.ClusterConfig`, dns_cache_config },
        },
      },
    ],
  );
}

const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

describe('a cluster that goes where the request says', () => {
  it('resolves a name once for many requests, and uses its connection again', async () => {
    const upstream = await startUpstream();
    dns.set('api.example.com', { addresses: ['127.0.0.1'] });
    const { requests, options } = requestLog();
    const proxy = await startProxy(forwarding(), options);
    const [first, second] = [await proxy.client(), await proxy.client()];
    const request = `GET /a HTTP/1.1\r\nHost: api.example.com:${upstream.port}\r\n\r\n`;
    first.send(request);
    second.send(request);
    const peers = [await upstream.next(), await upstream.next()];
    for (const peer of peers) {
      expect((await peer.message()).head).toMatch(
        new RegExp(`^GET /a [^]*\\r\\nhost: api.example.com:${upstream.port}`, 'i'),
      );
      peer.send(ANSWER);
    }
    expect((await first.message()).body).toBe('ok');
    expect((await second.message()).body).toBe('ok');
    first.send(request);
    await Promise.race(peers.map((peer) => peer.message().then(() => peer.send(ANSWER))));
    expect((await first.message()).body).toBe('ok');
    expect(upstream.connections).toHaveLength(2);
    expect(dns.questions).toEqual(['A api.example.com']);
    expect(requests[0]).toMatchObject({ responseCode: 200, upstreamHost: `127.0.0.1:${upstream.port}` });
    const [view] = proxy.dataPlane.clusters();
    expect(view?.endpoints).toMatchObject([{ address: '127.0.0.1', hostname: 'api.example.com' }]);
  });

  it('sends the body that came while the name was being resolved', async () => {
    const upstream = await startUpstream();
    dns.set('api.example.com', { addresses: ['127.0.0.1'] });
    const proxy = await startProxy(forwarding());
    const client = await proxy.client();
    client.send(`POST / HTTP/1.1\r\nHost: api.example.com:${upstream.port}\r\ncontent-length: 10\r\n\r\n01234`);
    client.send('56789');
    const peer = await upstream.next();
    expect((await peer.message()).body).toBe('0123456789');
    peer.send(ANSWER);
    expect((await client.message()).body).toBe('ok');
  });

  it('takes addresses as they are, and keeps its endpoints over a configuration', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(forwarding());
    const client = await proxy.client();
    const request = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${upstream.port}\r\n\r\n`;
    client.send(request);
    const peer = await upstream.next();
    await peer.message();
    peer.send(ANSWER);
    await client.message();
    await proxy.dataPlane.apply(forwarding());
    const other = await proxy.client();
    other.send(request);
    await peer.message();
    peer.send(ANSWER);
    expect((await other.message()).body).toBe('ok');
    expect(dns.questions).toEqual([]);
    expect(upstream.connections).toHaveLength(1);
  });

  it.each([
    ['no such name', 'NXDOMAIN', 'dns_resolution_failure{no_address}'],
    ['a server that cannot tell', 'SERVFAIL', 'dns_resolution_failure{no_answer}'],
  ] as const)('answers 503 DF for %s', async (_what, said, details) => {
    dns.set('gone.example.com', said);
    const { requests, options } = requestLog();
    const proxy = await startProxy(forwarding(), options);
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: gone.example.com\r\n\r\n');
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 503 /);
    expect(answer.body).toBe('DNS resolution failure');
    await eventually(() => requests.length > 0, 'the request is logged');
    expect(requests[0]).toMatchObject({ responseFlags: 'DF', responseCodeDetails: details });
  });

  it.each(['NXDOMAIN', 'SERVFAIL'] as const)('remembers %s for a while, and then asks again', async (said) => {
    dns.set('gone.example.com', said);
    const upstream = await startUpstream();
    const rate = { base_interval: '0.4s', max_interval: '0.4s' };
    const proxy = await startProxy(forwarding({ dns_failure_refresh_rate: rate }));
    const client = await proxy.client();
    const ask = async () => {
      client.send(`GET / HTTP/1.1\r\nHost: gone.example.com:${upstream.port}\r\n\r\n`);
      return (await client.message()).head.slice(9, 12);
    };
    const startMs = Date.now();
    expect(await ask()).toBe('503');
    const asked = dns.questions.length;
    const again = await ask();
    // On a machine that stood still for so long the time is over already.
    if (Date.now() - startMs < 300) expect([again, dns.questions.length]).toEqual(['503', asked]);
    dns.set('gone.example.com', { addresses: ['127.0.0.1'] });
    void upstream.next().then(async (peer) => {
      await peer.message();
      peer.send(ANSWER);
    });
    let status = again;
    await eventually(() => Date.now() - startMs > 450, 'the time is over');
    for (let left = 20; status !== '200' && left > 0; left--) {
      status = await ask();
      if (status !== '200') await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(status).toBe('200');
  });

  it('lets names that nobody resolves keep no others out', async () => {
    const upstream = await startUpstream();
    dns.set('api.example.com', { addresses: ['127.0.0.1'] });
    const proxy = await startProxy(forwarding({ max_hosts: 2 }));
    const client = await proxy.client();
    for (const name of ['a.example.com', 'b.example.com', 'c.example.com']) {
      dns.set(name, 'NXDOMAIN');
      client.send(`GET / HTTP/1.1\r\nHost: ${name}\r\n\r\n`);
      expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    }
    client.send(`GET / HTTP/1.1\r\nHost: api.example.com:${upstream.port}\r\n\r\n`);
    const peer = await upstream.next();
    await peer.message();
    peer.send(ANSWER);
    expect((await client.message()).body).toBe('ok');
  });

  it('does not send to itself', async () => {
    const proxy = await startProxy(forwarding());
    const client = await proxy.client();
    client.send(`GET / HTTP/1.1\r\nHost: 127.0.0.1:${proxy.port()}\r\n\r\n`);
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 508 /);
  });
});
