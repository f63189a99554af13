// Tests of explain: every part of an answer has its line, also where rules are joined, bytes are passed on, or limits are read.

import { describe, expect, it } from 'vitest';
import { explainedMesh } from './explained-mesh.js';

const RULES = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: default}
spec:
  hosts: [web]
  http:
  - match:
    - uri: {prefix: /shop}
    delegate: {name: shop}
  - match:
    - uri: {prefix: /broken}
    fault: {abort: {httpStatus: 418, percentage: {value: 100}}}
    route: [{destination: {host: web}}]
  - match:
    - uri: {prefix: /half}
    fault: {abort: {httpStatus: 418, percentage: {value: 50}}}
    route: [{destination: {host: web}}]
  tcp:
  - match: [{port: 9001}]
    route: [{destination: {host: web, subset: v3}}]
  - match:
    - port: 9000
    route:
    - destination: {host: web, subset: v1}
      weight: 80
    - destination: {host: web, subset: v3}
      weight: 0
    - destination: {host: web, subset: v2}
      weight: 20
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec:
  http:
  - match:
    - uri: {prefix: /shop/cart}
    timeout: 7s
    route: [{destination: {host: stock.other.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: default}
spec:
  host: stock.other.svc.cluster.local
  trafficPolicy:
    connectionPool: {tcp: {maxConnections: 3, connectTimeout: 2s}, http: {http1MaxPendingRequests: 5, maxRetries: 2}}
    outlierDetection: {consecutive5xxErrors: 4, interval: 2s, maxEjectionPercent: 50}
`;
const mesh = explainedMesh(RULES);
const WEB = 'web.default.svc.cluster.local';

describe('reasons', () => {
  it('of a delegated rule name its own condition, that of the rule which delegates, and the delegation', () => {
    const { because } = mesh.ask('http://web/shop/cart/1');
    const route = because.filter(({ decides }) => decides === 'route');
    expect(route.map(({ name, path }) => `${name} ${path}`)).toEqual([
      'shop spec.http[0].match[0]',
      'root spec.http[0].match[0]',
      'root spec.http[0].delegate',
    ]);
    expect(route.map(mesh.line).map((line) => line.trim())).toEqual([
      '- uri: {prefix: /shop/cart}',
      '- uri: {prefix: /shop}',
      'delegate: {name: shop}',
    ]);
  });

  it('of connections name the rule and the destination of each cluster', () => {
    const { clusters, because } = mesh.ask('http://web:9000/');
    expect(clusters.map(({ name, weight }) => [name, weight])).toEqual([
      [`outbound|9000|v1|${WEB}`, 80],
      [`outbound|9000|v2|${WEB}`, 20],
    ]);
    const found = because.filter(({ kind }) => kind === 'VirtualService');
    expect(found.map(({ path, decides, of }) => `${path} ${decides} ${of}`)).toEqual([
      'spec.tcp[1].match[0] route ',
      `spec.tcp[1].route[0].destination clusters outbound|9000|v1|${WEB}`,
      `spec.tcp[1].route[2].destination clusters outbound|9000|v2|${WEB}`,
    ]);
    expect(found.map(mesh.line).map((line) => line.trim())).toEqual([
      '- port: 9000',
      '- destination: {host: web, subset: v1}',
      '- destination: {host: web, subset: v2}',
    ]);
  });

  it('of connections that no rule takes name the port of the Service', () => {
    const plain = explainedMesh('');
    const route = plain.ask('http://web:9000/').because.filter(({ decides }) => decides === 'route');
    expect(route.map(plain.line)).toEqual(['  - {name: tcp-data, port: 9000}']);
  });
});

describe('limits of a cluster', () => {
  it('are its circuit breaker, its outlier detection and the time for connecting, with their lines', () => {
    const { clusters, because } = mesh.ask('http://web/shop/cart/1');
    expect(clusters).toMatchObject([
      {
        circuitBreaker: { maxConnections: 3, maxPendingRequests: 5, maxRequests: null, maxRetries: 2 },
        outlierDetection: {
          consecutive5xxErrors: 4,
          consecutiveGatewayErrors: null,
          intervalMs: 2000,
          baseEjectionTimeMs: null,
          maxEjectionPercent: 50,
        },
        connectTimeoutMs: 2000,
      },
    ]);
    const lines = because.filter(({ decides }) => decides === 'connectionPool' || decides === 'outlierDetection');
    expect(lines.map(mesh.line).map((line) => line.trim().split(':')[0])).toEqual([
      'connectionPool',
      'outlierDetection',
    ]);
  });
});

describe('a fault', () => {
  it('that aborts every request is the answer', () => {
    expect(mesh.ask('http://web/broken')).toMatchObject({
      action: 'forward',
      status: 418,
      responseFlag: 'FI',
      outcome: 'its fault aborts every request: the proxy answers 418',
    });
  });

  it('that aborts some leaves the answer to chance', () => {
    expect(mesh.ask('http://web/half')).toMatchObject({ status: null, fault: { abort: { percentage: 50 } } });
  });
});
