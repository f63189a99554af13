// Asks of generated resources what happens to a request.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  buildResources,
  buildSnapshot,
  type ProxyResources,
  resolveProxyView,
  type SnapshotInput,
} from '../src/index.js';
import { proxyOf, readMesh, TEST_ROOT } from './mesh-fixture.js';
import { simulate } from './simulate.js';

function meshOf(caseName: string): SnapshotInput {
  return readMesh(readFileSync(join(TEST_ROOT, 'cases', caseName, 'in.yaml'), 'utf8'));
}

function resourcesFor(input: SnapshotInput, pod: string): ProxyResources {
  return buildResources(resolveProxyView(buildSnapshot(input), proxyOf(input, pod)));
}

const REVIEWS = 'reviews.default.svc.cluster.local';

describe('Bookinfo with the handbook', () => {
  const input = meshOf('handbook-client');
  const productpage = resourcesFor(input, 'productpage-v1-0.default');
  const addressOf = (pod: string, host: string) =>
    input.workloads.find(({ name }) => name === pod)?.serviceAddresses[host] ?? '';
  const to = `${addressOf('productpage-v1-0', REVIEWS)}:9080`;
  const podAddress = (pod: string) => `${input.workloads.find(({ name }) => name === pod)?.address}:9080`;

  it.each(['reviews', 'reviews:9080', 'reviews.default', REVIEWS, `${REVIEWS}:9080`, 'REVIEWS.default.svc', to])(
    'sends jason to v2 and everybody else to v1 when the Host is %s',
    (host) => {
      const jason = simulate(productpage, { to, host, path: '/reviews/0', headers: { 'end-user': 'jason' } });
      expect(jason).toMatchObject({
        clusters: { [`outbound|9080|v2|${REVIEWS}`]: 1 },
        endpoints: [podAddress('reviews-v2-0')],
      });
      const other = simulate(productpage, { to, host, path: '/reviews/0', headers: { 'end-user': 'jasonx' } });
      expect(other).toMatchObject({
        clusters: { [`outbound|9080|v1|${REVIEWS}`]: 1 },
        endpoints: [podAddress('reviews-v1-0')],
      });
    },
  );

  it('answers 502 for a host that is no service', () => {
    expect(simulate(productpage, { to, host: 'example.com' })).toEqual({ status: 502, virtualHost: 'block_all' });
  });

  it('takes the same decision through the forward proxy, by absolute target', () => {
    const proxy = podAddress('productpage-v1-0').replace(':9080', ':15007');
    const outcome = simulate(productpage, { to: proxy, host: 'reviews:9080', headers: { 'end-user': 'jason' } });
    expect(outcome).toMatchObject({ clusters: { [`outbound|9080|v2|${REVIEWS}`]: 1 } });
    // Nothing has that port: it is a host like any other outside of the mesh.
    expect(simulate(productpage, { to: proxy, host: 'reviews' })).toMatchObject({
      clusters: { PassthroughCluster: 1 },
    });
  });

  it('takes mutual TLS only, under STRICT', () => {
    const reviews = resourcesFor(input, 'reviews-v1-0.default');
    const inbound = { to: podAddress('reviews-v1-0'), host: 'reviews:9080' };
    expect(simulate(reviews, inbound)).toEqual({ refused: 'no filter chain' });
    expect(simulate(reviews, { ...inbound, transport: 'tls' })).toEqual({ refused: 'no certificate' });
    expect(simulate(reviews, { ...inbound, transport: 'mtls' })).toMatchObject({ clusters: { 'inbound|9080||': 1 } });
  });

  it('exposes productpage at the gateway, on both of its addresses, and nothing else', () => {
    const gateway = resourcesFor(input, 'istio-ingressgateway-0.istio-system');
    for (const address of ['127.1.0.200:8080', '127.0.0.1:8080']) {
      const page = simulate(gateway, { to: address, host: 'localhost:8080', path: '/productpage?u=normal' });
      expect(page).toMatchObject({ endpoints: [podAddress('productpage-v1-0')] });
      expect(simulate(gateway, { to: address, host: 'localhost', path: '/reviews/0' })).toMatchObject({ status: 404 });
    }
  });
});

describe('mutual TLS modes', () => {
  it('takes both under PERMISSIVE, and plain text only where the port says DISABLE', () => {
    const permissive = resourcesFor(meshOf('inbound-permissive'), 'web-1.default');
    const at = { to: '127.1.0.2:8080', host: 'web' };
    expect(simulate(permissive, at)).toHaveProperty('clusters');
    expect(simulate(permissive, { ...at, transport: 'mtls' })).toHaveProperty('clusters');
    const levels = resourcesFor(meshOf('mtls-port-level'), 'web-1.default');
    expect(simulate(levels, at)).toEqual({ refused: 'no filter chain' });
    expect(simulate(levels, { to: '127.1.0.2:9000', host: 'web' })).toHaveProperty('clusters');
    expect(simulate(levels, { to: '127.1.0.2:9000', host: 'web', transport: 'mtls' })).toHaveProperty('refused');
  });
});

describe('routes', () => {
  const at = { to: '127.1.1.1:80', host: 'web' };

  it('splits by weight and leaves weight 0 out', () => {
    const resources = resourcesFor(meshOf('rules-weights'), 'client-0.default');
    const host = 'web.default.svc.cluster.local';
    expect(simulate(resources, at)).toMatchObject({
      clusters: { [`outbound|80|v1|${host}`]: 50, [`outbound|80|v2|${host}`]: 50 },
    });
    // A single destination gets everything, also with weight 0 and without endpoints.
    expect(simulate(resources, { ...at, path: '/single' })).toMatchObject({
      clusters: { [`outbound|80|v3|${host}`]: 1 },
      endpoints: [],
    });
  });

  it('needs all conditions of a match, and any one of several matches', () => {
    // Rules without a last one that takes everything: what does not match is answered 404.
    const conditional = resourcesFor(meshOf('rules-source-conditions'), 'client-0.default');
    expect(simulate(conditional, { ...at, path: '/mine/1' })).toHaveProperty('clusters');
    expect(simulate(conditional, { ...at, path: '/mesh' })).toMatchObject({ status: 201 });
    expect(simulate(conditional, { ...at, path: '/port/1' })).toMatchObject({ status: 202 });
    expect(simulate(conditional, { ...at, path: '/' })).toMatchObject({ status: 404 });
  });

  it('matches headers, absent headers, method, host and query parameters', () => {
    const mesh = meshOf('rules-conditions');
    // The last rules take everything; without them a request that does not match is answered 404.
    const configs = mesh.configs.map((config) =>
      config.kind === 'VirtualService'
        ? { ...config, spec: { ...config.spec, http: config.spec.http?.slice(0, 1) } }
        : config,
    );
    const resources = resourcesFor({ ...mesh, configs }, 'client-0.default');
    const headers = { 'x-present': '1', 'end-user': 'jason' };
    const request = { ...at, path: '/exact?debug=true&any=', headers };
    expect(simulate(resources, request)).toHaveProperty('clusters');
    for (const changed of [
      { path: '/exact?debug=false&any=' },
      { path: '/exact?debug=true' },
      { path: '/exacter?debug=true&any=' },
      { method: 'POST' },
      { headers: { ...headers, 'x-absent': '' } },
      { headers: { ...headers, 'x-not': 'nothing' } },
      { headers: { ...headers, 'end-user': 'Jason' } },
      { headers: { 'end-user': 'jason' } },
    ]) {
      expect(simulate(resources, { ...request, ...changed }), JSON.stringify(changed)).toMatchObject({ status: 404 });
    }
    expect(simulate(resources, { ...request, headers: { ...headers, 'x-not': 'yes' } })).toHaveProperty('clusters');
    expect(simulate(resources, { ...at, path: '/case/x' })).toHaveProperty('clusters');
  });

  it('matches regular expressions as a whole', () => {
    const resources = resourcesFor(meshOf('rules-regex'), 'client-0.default');
    for (const request of [{ headers: { cookie: 'a=b;user=jason' } }, { path: '/v2/x' }, { path: '/regex/x' }]) {
      expect(simulate(resources, { ...at, ...request })).toHaveProperty('clusters');
    }
    for (const request of [{ headers: { cookie: 'user=other' } }, { path: '/a/v2/x' }, { path: '/' }]) {
      expect(simulate(resources, { ...at, ...request })).toMatchObject({ status: 404 });
    }
  });

  it('answers from the black hole, which has no endpoints, where a destination is missing', () => {
    const resources = resourcesFor(meshOf('rules-missing-destination'), 'client-0.default');
    const missing = simulate(resources, { ...at, to: '127.1.1.2:80', path: '/subset' });
    expect(missing).toMatchObject({ clusters: { BlackHoleCluster: 1 }, endpoints: [] });
  });

  it('serves hosts that only a VirtualService knows', () => {
    const resources = resourcesFor(meshOf('rules-hosts-without-service'), 'client-0.default');
    const external = { to: '127.1.0.1:15007', host: 'a.wild.example.com' };
    expect(simulate(resources, external)).toMatchObject({ endpoints: ['127.1.0.2:8080', '127.1.0.3:8080'] });
  });
});

describe('gateway routes', () => {
  const gateway = resourcesFor(meshOf('gateway-hosts'), 'edge-0.edge');
  const at = '127.1.0.99:8080';

  it.each([
    ['a.example.com', '/web/1', { clusters: { 'outbound|80||web.default.svc.cluster.local': 1 } }],
    ['A.example.com:80', '/api', { clusters: { 'outbound|80||api.other.svc.cluster.local': 1 } }],
    ['a.example.com', '/', { status: 404, virtualHost: 'a.example.com:80' }],
    ['c.example.com', '/web', { status: 203, virtualHost: '*.example.com:80' }],
    // The namespace of the server's host shuts out the VirtualService of another namespace.
    ['only-default.org', '/api', { status: 404 }],
    ['b.example.net', '/api', { status: 404, virtualHost: undefined }],
  ])('%s%s', (host, path, expected) => {
    expect(simulate(gateway, { to: at, host, path })).toMatchObject(expected);
  });
});
