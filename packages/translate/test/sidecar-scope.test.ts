// Tests of which Sidecar resource holds for whom, and what it lets in.

import { describe, expect, it } from 'vitest';
import { buildResources, buildSnapshot, resolveProxyView, TranslationCache } from '../src/index.js';
import { proxyOf, readMesh } from './mesh-fixture.js';

const service = (name: string, namespace: string, annotations = '{}') => `
---
kind: Service
metadata: { name: ${name}, namespace: ${namespace}, annotations: ${annotations} }
spec:
  selector: { app: ${name} }
  ports: [{ name: http, port: 80, targetPort: 8080 }]
---
kind: Pod
metadata: { name: ${name}-0, namespace: ${namespace}, labels: { app: ${name} } }
spec: { workload: ${name}, serviceAccount: ${name}, ports: [8080] }`;

const sidecar = (namespace: string, hosts: readonly string[], more = '', name = 'default') => `
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: { name: ${name}, namespace: ${namespace} }
spec:
  ${more}
  egress: [{ hosts: ${JSON.stringify(hosts)} }]`;

const SERVICES = [
  service('web', 'front'),
  service('cart', 'front'),
  service('web', 'back'),
  service('data', 'back'),
  service('hidden', 'back', '{ networking.istio.io/exportTo: "." }'),
].join('');

/** The services (`NAME.NAMESPACE`) that a pod has clusters for. */
function clustersOf(pod: string, ...documents: readonly string[]): string[] {
  const input = readMesh(SERVICES + documents.join(''));
  const { clusters } = buildResources(resolveProxyView(buildSnapshot(input), proxyOf(input, pod)));
  return clusters
    .filter(({ name }) => name.startsWith('outbound|'))
    .map(({ name }) => name.split('|')[3]!.replace('.svc.cluster.local', ''));
}

describe('egress hosts', () => {
  it.each([
    [['*/*'], ['cart.front', 'data.back', 'web.back', 'web.front']],
    [['./*'], ['cart.front', 'web.front']],
    [['back/*'], ['data.back', 'web.back']],
    [['*/web'], ['web.back', 'web.front']],
    [['back/web'], ['web.back']],
    [['*/web.back.svc.cluster.local'], ['web.back']],
    [['front/web.back.svc.cluster.local'], []],
    [['*/*.back.svc.cluster.local'], ['data.back', 'web.back']],
    [['*/WEB.front.svc.cluster.local'], ['web.front']],
    [['~/*'], []],
    [['nowhere/*'], []],
    [['back/hidden'], []],
    [
      ['./cart', 'back/data'],
      ['cart.front', 'data.back'],
    ],
  ])('%j', (hosts, expected) => {
    expect(clustersOf('web-0.front', sidecar('front', hosts))).toEqual(expected);
  });
});

describe('which Sidecar holds', () => {
  const root = sidecar('istio-system', ['./web']);
  const namespace = sidecar('front', ['back/data']);
  const selecting = sidecar('front', ['front/cart'], 'workloadSelector: { labels: { app: cart } }', 'cart');

  it.each([
    ['cart-0.front', [root, namespace, selecting], ['cart.front']],
    ['web-0.front', [root, namespace, selecting], ['data.back']],
    // `.` is the namespace of the workload, also in the root namespace's.
    ['data-0.back', [root, namespace, selecting], ['web.back']],
    ['web-0.front', [root], ['web.front']],
    ['web-0.front', [selecting], ['cart.front', 'data.back', 'web.back', 'web.front']],
    ['data-0.back', [namespace], ['data.back', 'hidden.back', 'web.back', 'web.front', 'cart.front'].sort()],
  ])('%s', (pod, documents, expected) => {
    expect(clustersOf(pod, ...documents)).toEqual(expected);
  });

  it('does not narrow gateways', () => {
    const gateway = `
---
kind: Pod
metadata: { name: gate-0, namespace: front, labels: { app: gate } }
spec: { gateway: true, ports: [] }`;
    expect(clustersOf('gate-0.front', namespace, gateway)).toHaveLength(4);
  });

  it('tells of a second one for the whole namespace', () => {
    const input = readMesh(SERVICES + namespace + sidecar('front', ['./*'], '', 'second'));
    const { problems } = resolveProxyView(buildSnapshot(input), proxyOf(input, 'web-0.front'));
    expect(problems.filter(({ code }) => code === 'conflict-sidecar').map(({ subject }) => subject)).toEqual([
      'Sidecar/front/second',
    ]);
  });
});

describe('egress hosts that lead nowhere', () => {
  const rule = (hosts: string, gateways: string) => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: rule, namespace: front }
spec: { hosts: [${hosts}], gateways: [${gateways}], http: [{ route: [{ destination: { host: web } }] }] }`;
  const unknown = (...documents: readonly string[]) => {
    const input = readMesh(SERVICES + sidecar('front', ['*/lost', '*/shop.example.com', './web']) + documents.join(''));
    const { problems } = resolveProxyView(buildSnapshot(input), proxyOf(input, 'web-0.front')).scope;
    return problems
      .filter(({ code }) => code === 'unknown-egress-host')
      .map(({ message }) => /egress host (\S+)/.exec(message)?.[1]);
  };

  it.each([
    ['no rule', [], ['*/lost', '*/shop.example.com']],
    ['a rule of a gateway for all hosts', [rule('"*"', 'door')], ['*/lost', '*/shop.example.com']],
    ['a rule of a gateway for the host', [rule('shop.example.com', 'door')], ['*/lost', '*/shop.example.com']],
    ['a rule of the mesh for all hosts', [rule('"*"', 'mesh')], ['*/lost', '*/shop.example.com']],
    ['a rule of the mesh for the host', [rule('shop.example.com', 'door, mesh')], ['*/lost']],
    ['a rule of the mesh for the domain', [rule('"*.example.com"', 'mesh')], ['*/lost']],
  ])('with %s', (_rule, documents, expected) => {
    expect(unknown(...documents)).toEqual(expected);
  });
});

describe('what is kept between snapshots', () => {
  const names = (input: ReturnType<typeof readMesh>, cache: TranslationCache, pod: string) => {
    const { resources, faults } = cache.translate(resolveProxyView(buildSnapshot(input), proxyOf(input, pod)));
    expect(faults).toEqual([]);
    return [...resources.get('type.googleapis.com/envoy.config.cluster.v3.Cluster')!.keys()].filter((name) =>
      name.startsWith('outbound|'),
    );
  };

  it('follows a Sidecar that comes, changes and goes, and builds no cluster again for it', () => {
    const cache = new TranslationCache();
    const counts: number[] = [];
    for (const documents of ['', sidecar('front', ['./*']), sidecar('front', ['./*', 'back/data']), '']) {
      cache.startGeneration();
      counts.push(names(readMesh(SERVICES + documents), cache, 'web-0.front').length);
    }
    expect(counts).toEqual([4, 2, 3, 4]);
    const built = cache.counts.built.get('type.googleapis.com/envoy.config.cluster.v3.Cluster')!;
    // 4 outbound clusters, BlackHoleCluster, PassthroughCluster, the forward proxy's and the inbound one; the two that were away for two snapshots come again.
    expect(built).toBeLessThanOrEqual(10);
  });
});
