// Counts what is built: once for all proxies that see the same, and again only for what a change concerns.

import type { ConfigObject } from '@lateen/istio-config';
import { TYPE_URL } from '@lateen/xds-proto';
import { describe, expect, it } from 'vitest';
import {
  buildSnapshot,
  type MeshSnapshot,
  partsOf,
  resolveProxyView,
  type SnapshotInput,
  TranslationCache,
  type Workload,
} from '../src/index.js';
import { proxyOf } from './mesh-fixture.js';

const NAMESPACES = ['a', 'b', 'c', 'd'];
const SERVICES = 20;
const PROXIES = 200;

function pod(name: string, namespace: string, app: string, address: string, more: Partial<Workload> = {}): Workload {
  return {
    name,
    namespace,
    labels: { app },
    annotations: {},
    serviceAccount: app,
    workloadName: app,
    address,
    ports: [{ port: 8080, appPort: 20_000, name: 'http' }],
    ready: true,
    serviceAddresses: {},
    gateway: false,
    extraBindAddresses: {},
    ...more,
  };
}

const services = Array.from({ length: SERVICES }, (_, index) => ({
  namespace: NAMESPACES[index % NAMESPACES.length]!,
  name: `service-${index}`,
  labels: {},
  annotations: {},
  selector: { app: `service-${index}` },
  ports: [{ name: 'http', port: 80, targetPort: 8080, appProtocol: '' }],
}));

/** A pod for each service, and clients in four namespaces; `addresses`: as in local mode, each service at an own one. */
function mesh(options: { addresses?: boolean; configs?: ConfigObject[]; clients?: number } = {}): SnapshotInput {
  const { addresses = false, configs = [], clients = PROXIES } = options;
  const servers = services.map(({ name, namespace }, index) => pod(name, namespace, name, `10.0.0.${index}`));
  const callers = Array.from({ length: clients }, (_, index) => {
    const serviceAddresses = addresses
      ? Object.fromEntries(
          services.map(({ name, namespace }, service) => [
            `${name}.${namespace}.svc.cluster.local`,
            `127.1.${index}.${service}`,
          ]),
        )
      : {};
    const namespace = NAMESPACES[index % NAMESPACES.length]!;
    return pod(`client-${index}`, namespace, 'client', `10.1.0.${index}`, { serviceAddresses });
  });
  return { namespaces: [], services, workloads: [...servers, ...callers], configs };
}

function config(kind: string, name: string, spec: unknown, namespace = 'a'): ConfigObject {
  const metadata = { name, namespace, labels: {}, annotations: {}, creationTimestamp: '2024-01-01T00:00:00Z' };
  const source = { file: 'x', line: 1, column: 1 };
  return { apiVersion: 'v1', kind, metadata, spec, source } as unknown as ConfigObject;
}

const rule = (subset: string) => config('DestinationRule', 'zero', { host: 'service-0', subsets: [{ name: subset }] });
const route = (timeout: string, more = {}) =>
  config('VirtualService', 'zero', {
    hosts: ['service-0'],
    http: [{ route: [{ destination: { host: 'service-0' } }], timeout }],
    ...more,
  });

/** Translates for all clients of a snapshot and counts. */
class Bench {
  readonly cache = new TranslationCache();
  snapshot: MeshSnapshot = buildSnapshot(mesh());

  translate(input: SnapshotInput) {
    const before = this.cache.counts;
    // As Pilot has it: after every change all objects are new ones.
    this.snapshot = buildSnapshot(structuredClone(input));
    this.cache.startGeneration();
    const clients = input.workloads.filter(({ name }) => name.startsWith('client-'));
    const translations = clients.map((workload) => {
      const proxy = proxyOf(input, `${workload.name}.${workload.namespace}`);
      const translation = this.cache.translate(resolveProxyView(this.snapshot, proxy));
      expect(translation.faults).toEqual([]);
      return translation;
    });
    const { counts } = this.cache;
    const built = (type: keyof typeof TYPE_URL) =>
      counts.built.get(TYPE_URL[type])! - before.built.get(TYPE_URL[type])!;
    return {
      translations,
      hits: counts.hits - before.hits,
      misses: counts.misses - before.misses,
      built: [built('cluster'), built('endpoint'), built('listener'), built('route')],
    };
  }
}

describe('two hundred proxies that see the mesh in four ways', () => {
  it('cost four outbound parts, and every cluster and endpoint set once', () => {
    const bench = new Bench();
    const first = bench.translate(mesh());
    const distinct = (part: keyof ReturnType<typeof partsOf>) => {
      const views = first.translations.map((_, index) =>
        resolveProxyView(bench.snapshot, proxyOf(mesh(), `client-${index}.${NAMESPACES[index % 4]}`)),
      );
      return new Set(views.map((view) => partsOf(view)[part].key)).size;
    };
    expect(distinct('outboundClusters')).toBe(4);
    expect(distinct('endpoints')).toBe(4);
    expect(distinct('routes')).toBe(4);
    expect(distinct('localClusters')).toBe(1);
    expect(distinct('listeners')).toBe(PROXIES);
    // 4 outbound, 4 endpoints, 4 routes, 1 local, 1 of secrets, 1 of names; and the listeners, which hold the pod's own address.
    expect([first.misses, first.hits]).toEqual([15 + PROXIES, 7 * PROXIES - 15 - PROXIES]);
    // Clusters and endpoints are the same from all four namespaces; routes are not: short names count from the caller's.
    // Of its two listeners the forward proxy, at 127.0.0.1, is the same for all.
    expect(first.built).toEqual([SERVICES + 4, SERVICES, PROXIES + 1, 4]);
  });

  it('in two places cost one endpoint set more, of the service whose endpoints are in both', () => {
    const at = (workload: Workload, locality: string) => ({
      ...workload,
      labels: { ...workload.labels, 'istio-locality': locality },
    });
    const { workloads, ...rest } = mesh({ clients: 40 });
    const placed = workloads.map((each, index) => at(each, Math.floor(index / 4) % 2 === 0 ? 'eu.z1' : 'us.z1'));
    const second = pod('second', 'a', 'service-0', '10.0.9.9');
    const input = { ...rest, workloads: [...placed, at(second, 'us.z1')] };
    const unasked = new Bench().translate(input);
    expect(unasked.built).toEqual([SERVICES + 4, SERVICES, 41, 4]);
    const policy = { host: '*', trafficPolicy: { outlierDetection: {} } };
    const outliers = config('DestinationRule', 'all', policy, 'istio-system');
    const asked = new Bench().translate({ ...input, configs: [outliers] });
    expect(asked.built.slice(0, 2)).toEqual([SERVICES + 4, SERVICES + 1]);
  });

  it('share the same bytes', () => {
    const { translations } = new Bench().translate(mesh({ clients: 8 }));
    const [one, , , , same] = translations;
    for (const type of [TYPE_URL.cluster, TYPE_URL.endpoint, TYPE_URL.route]) {
      expect(same!.resources.get(type)).toBe(one!.resources.get(type));
    }
    const listeners = (index: number) => [...translations[index]!.resources.get(TYPE_URL.listener)!.keys()];
    expect(listeners(0)).not.toEqual(listeners(4));
    // At the pod's own address the forward proxy would call with its identity for whoever asks.
    expect(listeners(0)).toContain('127.0.0.1_15007');
    expect(listeners(0).filter((name) => name.endsWith('_15007'))).toHaveLength(1);
  });

  it('with an address for each service have routes and listeners of their own, and share the rest', () => {
    const first = new Bench().translate(mesh({ addresses: true, clients: 40 }));
    expect(first.built).toEqual([SERVICES + 4, SERVICES, 40 * (SERVICES + 1) + 1, 80]);
  });
});

describe('a change costs what it changes', () => {
  const start = (options: Parameters<typeof mesh>[0] = {}) => {
    const bench = new Bench();
    const input = mesh({ addresses: true, clients: 40, configs: [route('1s'), rule('v1')], ...options });
    bench.translate(input);
    return { bench, input };
  };
  const withConfigs = (input: SnapshotInput, ...configs: ConfigObject[]) => ({ ...input, configs });

  it('nothing, where a snapshot says the same', () => {
    const { bench, input } = start();
    const again = bench.translate(input);
    expect([again.misses, ...again.built]).toEqual([0, 0, 0, 0, 0]);
  });

  it('an endpoint: the sets that it was in', () => {
    const { bench, input } = start();
    const before = bench.translate(input).translations;
    const workloads = input.workloads.map((each) => (each.name === 'service-0' ? { ...each, ready: false } : each));
    const { translations, built, misses } = bench.translate({ ...input, workloads });
    // The service itself and its subset v1; listed anew by four scopes.
    expect([misses, built]).toEqual([4, [0, 2, 0, 0]]);
    for (const [index, { resources }] of translations.entries()) {
      for (const type of [TYPE_URL.cluster, TYPE_URL.listener, TYPE_URL.route]) {
        expect(resources.get(type)).toBe(before[index]!.resources.get(type));
      }
      const endpoints = (of: typeof resources) => [...of.get(TYPE_URL.endpoint)!];
      const changed = endpoints(resources).filter(
        ([name, { version }]) => before[index]!.resources.get(TYPE_URL.endpoint)!.get(name)!.version !== version,
      );
      expect(changed.map(([name]) => name).sort()).toEqual([
        'outbound|80|v1|service-0.a.svc.cluster.local',
        'outbound|80||service-0.a.svc.cluster.local',
      ]);
    }
  });

  it('a VirtualService: the routes', () => {
    const { bench, input } = start();
    expect(bench.translate(withConfigs(input, route('2s'), rule('v1'))).built).toEqual([0, 0, 0, 80]);
  });

  it('a VirtualService that only one namespace sees: the routes of its proxies', () => {
    const { bench, input } = start({ configs: [route('1s', { exportTo: ['.'] })] });
    expect(bench.translate(withConfigs(input, route('2s', { exportTo: ['.'] }))).built).toEqual([0, 0, 0, 20]);
  });

  it('the policy of a DestinationRule: its clusters', () => {
    const { bench, input } = start();
    const policy = config('DestinationRule', 'zero', {
      host: 'service-0',
      subsets: [{ name: 'v1' }],
      trafficPolicy: { loadBalancer: { simple: 'RANDOM' } },
    });
    expect(bench.translate(withConfigs(input, route('1s'), policy)).built).toEqual([2, 0, 0, 0]);
  });

  it('a new subset: its clusters and endpoints, and the routes, which may lead to it', () => {
    const { bench, input } = start();
    expect(bench.translate(withConfigs(input, route('1s'), rule('v2'))).built).toEqual([2, 1, 0, 80]);
  });

  it('a pod of a new service account: the clusters of its service', () => {
    const { bench, input } = start();
    const workloads = [...input.workloads, { ...pod('more', 'a', 'service-0', '10.9.9.9'), serviceAccount: 'other' }];
    expect(bench.translate({ ...input, workloads }).built).toEqual([2, 2, 0, 0]);
  });

  it('a policy for inbound traffic: the listeners that it is for', () => {
    const { bench, input } = start({ addresses: false });
    const strict = config('PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } }, 'b');
    // Ten of the forty clients are in namespace b, each with one inbound port.
    expect(bench.translate(withConfigs(input, route('1s'), rule('v1'), strict)).built).toEqual([0, 0, 10, 0]);
  });

  it('a proxy more: what is its own', () => {
    const { bench, input } = start({ addresses: false });
    const more = pod('client-more', 'a', 'client', '10.1.9.9');
    // Its own listener. It is an endpoint of nothing.
    expect(bench.translate({ ...input, workloads: [...input.workloads, more] }).built).toEqual([0, 0, 1, 0]);
  });
});

describe('what is kept', () => {
  it('is what the last two snapshots used', () => {
    const bench = new Bench();
    const input = mesh({ addresses: true, clients: 8 });
    bench.translate(input);
    const { parts, resources } = bench.cache.counts;
    for (let round = 0; round < 5; round += 1) {
      const workloads = input.workloads.map((each) => ({
        ...each,
        address: each.address.replace('10.', `1${round}.`),
      }));
      bench.translate({ ...input, workloads });
    }
    expect(bench.cache.counts.parts).toBeLessThanOrEqual(2 * parts);
    expect(bench.cache.counts.resources).toBeLessThanOrEqual(2 * resources);
    bench.translate({ ...input, workloads: [] });
    bench.translate({ ...input, workloads: [] });
    bench.translate({ ...input, workloads: [] });
    expect([bench.cache.counts.parts, bench.cache.counts.resources]).toEqual([0, 0]);
  });

  it('does not hold a failure: the next attempt translates', () => {
    const snapshot = buildSnapshot(mesh({ clients: 1 }));
    const view = resolveProxyView(snapshot, proxyOf(mesh({ clients: 1 }), 'client-0.a'));
    const cache = new TranslationCache();
    const broken = {
      ...view,
      outbound: () => {
        throw new Error('boom');
      },
    };
    expect(cache.translate(broken)).toMatchObject({
      faults: [{ code: 'translation-failed', severity: 'error', message: expect.stringContaining('boom') }],
    });
    expect(cache.translate(view).faults).toEqual([]);
  });
});
