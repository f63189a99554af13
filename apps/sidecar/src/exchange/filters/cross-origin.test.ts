// Answers to other origins, on the wire: what belongs to one request stays with it, whatever else is going on.

import { describe, expect, it } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from '../../testing/envoy-config.js';
import { ACCESS_LOG } from '../../testing/one-cluster.js';
import { requestLog, startProxy, startUpstream } from '../../testing/proxy-fixture.js';

const TYPE = 'type.googleapis.com/envoy.extensions.filters.http';
const CORS = { name: 'cors', typed_config: { '@type': `${TYPE}.cors.v3.Cors` } };
const FAULT = { name: 'fault', typed_config: { '@type': `${TYPE}.fault.v3.HTTPFault` } };
const POLICY = {
  '@type': `${TYPE}.cors.v3.CorsPolicy`,
  allow_origin_string_match: [{ prefix: 'https://' }],
  allow_methods: 'PUT',
  expose_headers: 'x-total',
};

function config(port: number, policy: object = POLICY, filters: readonly Record<string, unknown>[] = [CORS]) {
  const shared = { ...toCluster('app', {}, '/shared'), typed_per_filter_config: { cors: policy } };
  const routes = anyHost(shared, toCluster('app'));
  return dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(routes, ACCESS_LOG, filters)] }])],
    [cluster('app', [endpointOf(port)])],
  );
}

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';
const origins = (head: string) =>
  [...head.matchAll(/^access-control-allow-origin: (.*)\r$/gm)].map(([, value]) => value);
const request = (path: string, origin: string, more = '') =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nOrigin: ${origin}\r\n${more}\r\n`;

describe('answers to other origins', () => {
  it('name the origin of their own request, not of the one before or beside it', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(config(upstream.port));
    const [a, b] = [await proxy.client(), await proxy.client()];
    a.send(request('/shared', 'https://a'));
    const toA = await upstream.next();
    await toA.message();
    b.send(request('/shared', 'https://b'));
    const toB = await upstream.next();
    await toB.message();
    // New tables, and with them new policies, while both wait.
    await proxy.dataPlane.apply(config(upstream.port, { ...POLICY, expose_headers: 'x-other' }));
    toA.send(OK);
    const first = await a.message();
    expect(origins(first.head)).toEqual(['https://a']);
    expect(first.head).toContain('access-control-expose-headers: x-total\r\n');
    toB.send(OK);
    expect(origins((await b.message()).head)).toEqual(['https://b']);
  });

  it('say nothing where the request before had an origin', async () => {
    const upstream = await startUpstream();
    const proxy = await startProxy(config(upstream.port));
    const client = await proxy.client();
    client.send(request('/shared', 'https://a'));
    const server = await upstream.next();
    await server.message();
    server.send(OK);
    expect(origins((await client.message()).head)).toEqual(['https://a']);
    for (const [text, expected] of [
      [request('/other', 'https://a'), []],
      [request('/shared', 'http://a'), []],
      ['GET /shared HTTP/1.1\r\nHost: x\r\n\r\n', []],
      [request('/shared', 'https://c'), ['https://c']],
    ] as const) {
      client.send(text);
      await server.message();
      server.send(OK);
      expect(origins((await client.message()).head)).toEqual(expected);
    }
    // A head that is refused before it is routed.
    client.send('GET /shared HTTP/1.1\r\nOrigin: https://a\r\n\r\n');
    const refused = await client.message();
    expect(refused.head).toMatch(/^HTTP\/1.1 400 /);
    expect(origins(refused.head)).toEqual([]);
  });

  it('to preflights come from the proxy, and the connection goes on', async () => {
    const upstream = await startUpstream();
    const log = requestLog();
    const proxy = await startProxy(config(upstream.port), log.options);
    const client = await proxy.client();
    const preflight = request('/shared', 'https://a', 'Access-Control-Request-Method: PUT\r\n').replace(
      'GET',
      'OPTIONS',
    );
    client.send(`${preflight}${preflight}${request('/shared', 'https://a')}`);
    for (let round = 0; round < 2; round++) {
      const { head } = await client.message();
      expect(head).toMatch(/^HTTP\/1.1 200 OK\r\ncontent-length: 0\r\n/);
      expect(head).toContain('access-control-allow-methods: PUT\r\n');
    }
    const server = await upstream.next();
    expect((await server.message()).head).toMatch(/^GET /);
    server.send(OK);
    expect((await client.message()).head).not.toContain('access-control-allow-methods');
    expect(
      log.requests.map(({ method, responseCode, responseCodeDetails }) => [method, responseCode, responseCodeDetails]),
    ).toEqual([
      ['OPTIONS', 200, 'cors_response'],
      ['OPTIONS', 200, 'cors_response'],
      ['GET', 200, 'via_upstream'],
    ]);
  });

  it('need a filter that stands at an end of the others, once', async () => {
    const limit = {
      name: 'limit',
      typed_config: { '@type': `${TYPE}.local_ratelimit.v3.LocalRateLimit`, stat_prefix: 's' },
    };
    await expect(startProxy(config(1, POLICY, [limit, CORS, FAULT]))).rejects.toThrow(/or after all of them/);
    await expect(startProxy(config(1, POLICY, [FAULT, CORS, CORS]))).rejects.toThrow(
      /a chain can have one CORS filter/,
    );
    for (const filters of [
      [CORS, limit, FAULT],
      [limit, FAULT, CORS],
    ])
      await startProxy(config(1, POLICY, filters));
  });
});
