// What goes wrong gets Envoy's answer, response flag and details.

import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../testing/envoy-config.js';
import { ACCESS_LOG, startOneCluster as setUp } from '../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../testing/proxy-fixture.js';
import { eventually } from '../testing/raw-peers.js';

describe('what goes wrong', () => {
  it('says which: no route, no cluster, no endpoint', async () => {
    const { proxy, log } = await setUp({
      routes: [toCluster('absent', {}, '/absent'), toCluster('c', {}, '/c')],
    });
    const client = await proxy.client();
    client.send('GET /none HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 404 /);
    client.send('GET /absent HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 503 /);
    expect(log.map(({ responseFlags, responseCodeDetails }) => [responseFlags, responseCodeDetails])).toEqual([
      ['NR', 'route_not_found'],
      ['NC', 'cluster_not_found'],
    ]);
  });

  it('answers 503 UH where there is no endpoint', async () => {
    const upstream = await startUpstream();
    const { requests, options } = requestLog();
    const config = dataPlaneConfig(
      [listener('l', [{ filters: [connectionManager(anyHost(toCluster('c')), ACCESS_LOG)] }])],
      [cluster('c', [endpointOf(upstream.port, { health_status: 'UNHEALTHY' })])],
    );
    const proxy = await startProxy(config, options);
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 503 /);
    expect(answer.body).toBe('no healthy upstream');
    expect(requests[0]).toMatchObject({ responseFlags: 'UH', responseCodeDetails: 'no_healthy_upstream' });
  });

  it('answers 503 UF where nobody listens', async () => {
    const { proxy, upstream, log } = await setUp();
    await upstream.stop();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const answer = await client.message();
    expect(answer.head).toMatch(/^HTTP\/1.1 503 /);
    expect(answer.body).toMatch(
      /^upstream connect error or disconnect\/reset before headers. reset reason: remote connection failure/,
    );
    expect(log[0]).toMatchObject({ responseFlags: 'UF', responseCode: 503 });
  });

  it('answers 503 UC where the upstream closes before it answers, and cuts the client where it closes after', async () => {
    const { proxy, upstream, log } = await setUp();
    const client = await proxy.client();
    client.send('GET /1 HTTP/1.1\r\nHost: x\r\n\r\n');
    const first = await upstream.next();
    await first.message();
    first.socket.destroy();
    expect((await client.message()).body).toMatch(/reset reason: connection termination/);
    client.send('GET /2 HTTP/1.1\r\nHost: x\r\n\r\n');
    const second = await upstream.next();
    await second.message();
    second.send('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
    await client.untilText('part');
    second.socket.destroy();
    await client.untilEnd();
    expect(log.map(({ responseCode, responseFlags }) => [responseCode, responseFlags])).toEqual([
      [503, 'UC'],
      [200, 'UC'],
    ]);
  });

  it('answers 502 UPE to a malformed response', async () => {
    const { proxy, upstream, log } = await setUp();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    server.send('HTTP/1.1 abc\r\n\r\n');
    expect((await client.message()).head).toMatch(/^HTTP\/1.1 502 /);
    expect(log[0]).toMatchObject({ responseFlags: 'UPE' });
  });

  it('answers 400 DPE to a malformed request and closes', async () => {
    const { proxy, log } = await setUp();
    for (const bad of [
      'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'GET / HTTP/1.1\r\nHost : x\r\n\r\n',
      'GET /\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
    ]) {
      const client = await proxy.client();
      client.send(bad);
      await client.untilEnd();
      expect(client.received).toMatch(/^HTTP\/1.1 400 Bad Request\r\n/);
      expect(client.received).toMatch(/\r\nconnection: close\r\n/i);
    }
    expect(log.map(({ responseFlags }) => responseFlags)).toEqual(['DPE', 'DPE', 'DPE', 'DPE']);
  });

  it('answers 431 to a head that is too large', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send(`GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(70_000)}\r\n\r\n`);
    await client.untilEnd();
    expect(client.received).toMatch(/^HTTP\/1.1 431 /);
  });

  it('answers 400 to a malformed chunk and lets go of the upstream', async () => {
    const { proxy, upstream } = await setUp();
    const client = await proxy.client();
    client.send('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    const server = await upstream.next();
    await server.untilText('abc');
    client.send('zz\r\n');
    await client.untilText('HTTP/1.1 400 ');
    await client.untilEnd();
    await server.untilEnd();
  });

  it('notes DC and drops the upstream where the client leaves', async () => {
    const { proxy, upstream, log } = await setUp();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const server = await upstream.next();
    await server.message();
    client.socket.destroy();
    await server.untilEnd();
    await eventually(() => log.length === 1, 'the request is logged');
    expect(log[0]).toMatchObject({ responseCode: 0, responseFlags: 'DC' });
    expect(proxy.dataPlane.stats.downstreamRqActive).toBe(0);
  });

  it('refuses CONNECT with an answer', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n');
    await client.untilEnd();
    expect(client.received).toMatch(/^HTTP\/1.1 (501|404) /);
  });

  it('refuses an upgrade that is not enabled', async () => {
    const { proxy } = await setUp();
    const client = await proxy.client();
    client.send('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await client.untilText('\r\n\r\n');
    expect(client.received).toMatch(/^HTTP\/1.1 403 /);
  });
});
