// Tests of what is said about a pod and a service.

import { parseDocuments } from '@lateen/istio-config';
import type { PodDescription, ServiceDescription } from '@lateen/telemetry';
import { buildSnapshot, type MeshSnapshot, TranslationCache, type Workload } from '@lateen/translate';
import { describe, expect, it } from 'vitest';
import { describePodById, describeServiceByName } from './describe-page.js';

const pod = (name: string, app: string, version: string, more: Partial<Workload> = {}): Workload => ({
  name,
  namespace: 'default',
  labels: { app, version },
  annotations: {},
  serviceAccount: app,
  workloadName: app,
  address: '127.9.0.1',
  ports: [{ port: 8080, appPort: 20_000, name: '' }],
  ready: true,
  serviceAddresses: {},
  gateway: false,
  extraBindAddresses: {},
  ...more,
});

const service = (name: string, port: { name: string; port: number }) => ({
  namespace: 'default',
  name,
  labels: {},
  annotations: {},
  selector: { app: name },
  ports: [{ ...port, targetPort: 8080, appProtocol: '' }],
});

function meshWith(yaml: string): MeshSnapshot {
  const { objects, problems } = parseDocuments([{ name: 'mesh.yaml', content: yaml }], { defaultNamespace: 'default' });
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  const aged = objects.map((object, index) => ({
    ...object,
    metadata: { ...object.metadata, creationTimestamp: new Date(index * 1000).toISOString() },
  }));
  return buildSnapshot({
    namespaces: [],
    services: [service('shop', { name: 'http', port: 80 }), service('stock', { name: 'main', port: 90 })],
    workloads: [
      pod('shop-1', 'shop', 'v1'),
      pod('shop-2', 'shop', 'v2', { ready: false }),
      pod('stock-1', 'stock', 'v1'),
      pod('gate-0', 'gate', 'v1', { gateway: true, ports: [] }),
    ],
    configs: aged,
  });
}

const podOf = (mesh: MeshSnapshot, id: string) => describePodById(mesh, new TranslationCache(), id) as PodDescription;
const serviceOf = (mesh: MeshSnapshot, name: string) =>
  describeServiceByName(mesh, new TranslationCache(), name) as ServiceDescription;
const codes = ({ warnings }: { warnings: readonly { code: string }[] }) => warnings.map(({ code }) => code);

const RULES = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec:
  host: shop
  trafficPolicy: {tls: {mode: DISABLE}}
  subsets: [{name: v1, labels: {version: v1}}, {name: v9, labels: {version: v9}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop]
  http:
  - match: [{uri: {prefix: /old}}]
    route: [{destination: {host: shop, subset: v7}}]
  - route: [{destination: {host: shop, subset: v1}, weight: 90}, {destination: {host: shop, subset: v9}, weight: 10}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: late}
spec: {hosts: [shop], http: [{route: [{destination: {host: stock}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: lost}
spec: {host: nowhere}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {app: gate}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside}
spec: {hosts: [shop.example.com], gateways: [door], http: [{route: [{destination: {host: shop}}]}]}
`;

describe('a service', () => {
  const mesh = meshWith(RULES);
  const shop = serviceOf(mesh, 'shop.default');

  it('shows the rules that hold, with their places and the pods of each subset', () => {
    expect(shop.destinationRule).toEqual({
      source: { kind: 'DestinationRule', namespace: 'default', name: 'shop', file: 'mesh.yaml', line: 1 },
      tls: 'DISABLE',
      subsets: [
        { name: 'v1', labels: { version: 'v1' }, pods: ['shop-1'] },
        { name: 'v9', labels: { version: 'v9' }, pods: [] },
      ],
    });
    expect(shop.virtualService?.source.line).toBe(9);
    expect(shop.virtualService?.routes).toEqual([
      { match: 'uri prefix /old', to: 'shop subset v7' },
      { match: 'everything', to: 'shop subset v1 90%, shop subset v9 10%' },
    ]);
  });

  it('shows what it accepts and why, and the ways in', () => {
    expect(shop.mtls).toMatchObject([{ port: 8080, mode: 'STRICT', policy: { name: 'strict' } }]);
    expect(shop.exposure).toMatchObject([
      { gateway: { name: 'door' }, server: 'HTTP 80', hosts: ['shop.example.com'], pods: ['gate-0.default'] },
    ]);
  });

  it('warns of what does not fit together', () => {
    expect(codes(shop)).toEqual([
      'conflict-virtual-service-host',
      'missing-destination',
      'mtls-conflict',
      'subset-without-pods',
    ]);
    const conflict = shop.warnings[0];
    expect(conflict?.source).toMatchObject({ name: 'late', file: 'mesh.yaml' });
  });

  it('warns of a port whose name says no protocol', () => {
    expect(codes(serviceOf(mesh, 'stock.default'))).toContain('port-name');
  });

  it('names what there is where the name is not known', () => {
    expect(describeServiceByName(mesh, new TranslationCache(), 'shops.default')).toEqual({
      error: 'the registry knows no service "shops.default"; known: shop.default, stock.default',
    });
  });
});

describe('a pod', () => {
  it('of a gateway shows which Gateways it runs', () => {
    const gate = podOf(meshWith(RULES), 'gate-0.default');
    expect(gate.gateways).toMatchObject([{ kind: 'Gateway', name: 'door', file: 'mesh.yaml' }]);
    expect(codes(gate)).toEqual(['mtls-conflict', 'unknown-host']);
  });

  it('shows its services, and warns of rules of its namespace that are for nothing', () => {
    const shop = podOf(meshWith(RULES), 'shop-1.default');
    expect(shop.services.map(({ name }) => name)).toEqual(['shop']);
    expect(shop.scope).toMatchObject({ outboundTrafficPolicy: 'ALLOW_ANY', exported: 2 });
    expect(shop.warnings).toMatchObject([
      { code: 'mtls-conflict', source: { name: 'shop' } },
      { code: 'unknown-host', source: { name: 'lost' } },
    ]);
  });

  it('shows which Sidecar holds for it, and what that lets through', () => {
    const sidecar = `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow}
spec:
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
  egress: [{hosts: ["./stock", "*/misspelt"]}]
`;
    const shop = podOf(meshWith(sidecar), 'shop-1.default');
    expect(shop.scope).toEqual({
      sidecar: { kind: 'Sidecar', namespace: 'default', name: 'narrow', file: 'mesh.yaml', line: 1 },
      outboundTrafficPolicy: 'REGISTRY_ONLY',
      unknownHosts: 'REFUSED',
      services: ['stock.default.svc.cluster.local'],
      exported: 2,
    });
    expect(codes(shop)).toEqual(['unknown-egress-host']);
  });
});

describe('a DestinationRule with a workloadSelector', () => {
  const mesh = meshWith(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{route: [{destination: {host: shop, subset: v1}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: chosen}
spec:
  host: shop
  workloadSelector: {matchLabels: {app: stock}}
  trafficPolicy: {tls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict}
spec: {mtls: {mode: STRICT}}
`);
  const SOURCE = { kind: 'DestinationRule', namespace: 'default', name: 'chosen', file: 'mesh.yaml', line: 11 };

  it('stands with the service beside the rule for all, with the clients that follow it and what fails for them', () => {
    const shop = serviceOf(mesh, 'shop.default');
    expect(shop.destinationRule).toMatchObject({ source: { name: 'shop' }, tls: 'AUTO', subsets: [{ name: 'v1' }] });
    expect(shop.clientRules).toEqual([{ source: SOURCE, tls: 'DISABLE', subsets: [], clients: ['stock-1.default'] }]);
    expect(shop.warnings).toMatchObject([
      {
        code: 'missing-destination',
        message: expect.stringMatching(
          /^DestinationRule default\/chosen, which these calls follow, gives service shop\S+ no subset v1;.*\(only calls of stock\.default\)$/,
        ),
      },
      { code: 'mtls-conflict', message: expect.stringContaining('calls of stock-1.default to shop'), source: SOURCE },
    ]);
  });

  it('stands with the pods that it selects, with what fails for them', () => {
    const stock = podOf(mesh, 'stock-1.default');
    expect(stock.clientRules).toEqual([{ host: 'shop.default.svc.cluster.local', source: SOURCE }]);
    expect(codes(stock)).toEqual(['missing-destination', 'mtls-conflict']);
  });

  it('is nothing to other pods', () => {
    const shop = podOf(mesh, 'shop-1.default');
    expect(shop.clientRules).toEqual([]);
    expect(codes(shop)).toEqual([]);
  });
});

it.each([
  ['portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]', 'STRICT', ['plain text']],
  ['portLevelSettings: [{port: {number: 81}, tls: {mode: DISABLE}}]', 'STRICT', []],
  ['tls: {mode: ISTIO_MUTUAL}', 'STRICT', []],
  ['tls: {mode: ISTIO_MUTUAL}', 'DISABLE', ['mutual TLS']],
  ['tls: {mode: DISABLE}', 'PERMISSIVE', []],
])('mtls-conflict of %s with %s', (policy, mode, sent) => {
  const mesh = meshWith(`apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop, trafficPolicy: {${policy}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: mode}
spec: {mtls: {mode: ${mode}}}
`);
  const conflicts = serviceOf(mesh, 'shop.default').warnings.filter(({ code }) => code === 'mtls-conflict');
  expect(conflicts.map(({ message }) => / are sent in (.*), but/.exec(message)?.[1])).toEqual(sent);
});
