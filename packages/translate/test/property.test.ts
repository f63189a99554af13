// Whatever the configuration, the resources of every proxy are consistent, and the same whatever the order of the input.

import type { ConfigObject } from '@lateen/istio-config';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  buildResources,
  buildSnapshot,
  checkConsistency,
  resolveProxyView,
  type SnapshotInput,
  viewKey,
} from '../src/index.js';
import { proxyOf } from './mesh-fixture.js';

const NAMESPACES = ['default', 'shop', 'istio-system'];
const NAMES = ['web', 'api', 'db'];
const HOSTS = [
  'web',
  'api.default',
  'web.shop.svc.cluster.local',
  '*.default.svc.cluster.local',
  '*',
  'ext.example.com',
  'nobody',
];

const namespace = fc.constantFrom(...NAMESPACES);
const name = fc.constantFrom(...NAMES);
const host = fc.constantFrom(...HOSTS);
const port = fc.constantFrom(80, 443, 8080, 9080, 15_007, 15_021);
const labels = fc.record({ app: name }, { requiredKeys: ['app'] });
const exportTo = fc.option(fc.subarray(['.', '*', 'shop']), { nil: undefined });

const service = fc.record({
  namespace,
  name,
  labels: fc.constant({}),
  annotations: fc.constantFrom<Record<string, string>>({}, { 'networking.istio.io/exportTo': '.' }),
  selector: fc.oneof(labels, fc.constant({})),
  ports: fc.array(
    fc.record({
      name: fc.constantFrom('http', 'tcp', 'grpc', 'web', ''),
      port,
      targetPort: port,
      appProtocol: fc.constant(''),
    }),
    { maxLength: 3 },
  ),
});

const HOSTNAMES = NAMES.flatMap((n) => NAMESPACES.map((ns) => `${n}.${ns}.svc.cluster.local`));
const workload = fc.record({
  name: fc.constantFrom('a', 'b', 'c'),
  namespace,
  labels,
  annotations: fc.constant({}),
  serviceAccount: name,
  workloadName: name,
  address: fc.constantFrom('127.1.0.1', '127.1.0.2', '127.1.0.3'),
  ports: fc.array(fc.record({ port, appPort: port, name: fc.constantFrom('', 'http', 'tcp') }), { maxLength: 3 }),
  ready: fc.boolean(),
  // Each with an address of its own, as the supervisor hands them out, or all with one, as it must not.
  serviceAddresses: fc.constantFrom<Record<string, string>>(
    Object.fromEntries(HOSTNAMES.map((hostname, index) => [hostname, `127.1.1.${index + 1}`])),
    Object.fromEntries(HOSTNAMES.map((hostname) => [hostname, '127.1.0.1'])),
    {},
  ),
  gateway: fc.boolean(),
  extraBindAddresses: fc.constantFrom<Record<string, string>>({}, { '8080': '127.0.0.1:1', '9080': '127.0.0.1:1' }),
});

const destination = fc.record(
  {
    destination: fc.record(
      { host, subset: fc.constantFrom('v1', 'v2'), port: fc.record({ number: port }) },
      { requiredKeys: ['host'] },
    ),
    weight: fc.integer({ min: 0, max: 100 }),
  },
  { requiredKeys: ['destination'] },
);
const match = fc.record(
  {
    uri: fc.constantFrom({ prefix: '/' }, { prefix: '/a' }, { exact: '/b' }),
    headers: fc.constantFrom({ 'end-user': { exact: 'jason' } }, { 'x-any': {} }),
    sourceLabels: labels,
    sourceNamespace: namespace,
    gateways: fc.subarray(['mesh', 'edge', 'shop/edge']),
    port,
  },
  { requiredKeys: [] },
);
const rule = fc.record(
  {
    match: fc.array(match, { maxLength: 2 }),
    route: fc.array(destination, { minLength: 1, maxLength: 3 }),
    timeout: fc.constant('2s'),
  },
  { requiredKeys: ['route'] },
);
const trafficPolicy = fc.record(
  {
    loadBalancer: fc.constantFrom({ simple: 'ROUND_ROBIN' }, { simple: 'PASSTHROUGH' }),
    tls: fc.constantFrom({ mode: 'DISABLE' }, { mode: 'ISTIO_MUTUAL' }, { mode: 'SIMPLE' }),
    portLevelSettings: fc.array(fc.record({ port: fc.record({ number: port }) }), { maxLength: 1 }),
  },
  { requiredKeys: [] },
);

const specs = {
  VirtualService: fc.record(
    {
      hosts: fc.uniqueArray(host, { minLength: 1, maxLength: 3 }),
      gateways: fc.subarray(['mesh', 'edge', 'shop/edge']),
      http: fc.array(rule, { maxLength: 3 }),
      exportTo,
    },
    { requiredKeys: ['hosts', 'http'] },
  ),
  DestinationRule: fc.record(
    {
      host,
      trafficPolicy,
      subsets: fc.array(fc.record({ name: fc.constantFrom('v1', 'v2'), labels: fc.constant({}), trafficPolicy }), {
        maxLength: 3,
      }),
      exportTo,
      workloadSelector: fc.record({ matchLabels: labels }),
    },
    { requiredKeys: ['host'] },
  ),
  Gateway: fc.record({
    selector: fc.oneof(labels, fc.constant({})),
    servers: fc.array(
      fc.record({
        port: fc.record({ number: port, name: fc.constant('p'), protocol: fc.constantFrom('HTTP', 'HTTPS') }),
        hosts: fc.uniqueArray(fc.constantFrom('*', '*.example.com', 'ext.example.com', './web', 'shop/*'), {
          minLength: 1,
        }),
        tls: fc.constantFrom({ httpsRedirect: true }, {}),
      }),
      { maxLength: 3 },
    ),
  }),
  PeerAuthentication: fc.record(
    {
      selector: fc.record({ matchLabels: labels }),
      mtls: fc.record({ mode: fc.constantFrom('UNSET', 'STRICT', 'PERMISSIVE', 'DISABLE') }),
      portLevelMtls: fc.constant({ 80: { mode: 'DISABLE' } }),
    },
    { requiredKeys: [] },
  ),
};

const config = fc.oneof(
  ...Object.entries(specs).map(([kind, spec]) =>
    fc
      .record({ name: fc.constantFrom('edge', 'a', 'b', 'c'), namespace, spec, time: fc.integer({ min: 0, max: 3 }) })
      .map(({ name, namespace, spec, time }) => ({
        apiVersion: 'v1',
        kind,
        metadata: { name, namespace, labels: {}, annotations: {}, creationTimestamp: `2024-01-0${time + 1}T00:00:00Z` },
        spec,
        source: { file: 'x', line: 1, column: 1 },
      })),
  ),
) as fc.Arbitrary<unknown> as fc.Arbitrary<ConfigObject>;

const mesh: fc.Arbitrary<SnapshotInput> = fc.record({
  namespaces: fc.constant([]),
  services: fc.array(service, { maxLength: 6 }),
  workloads: fc.uniqueArray(workload, { maxLength: 5, selector: ({ name, namespace }) => `${namespace}/${name}` }),
  configs: fc.uniqueArray(config, {
    maxLength: 10,
    selector: ({ kind, metadata }) => `${kind}/${metadata.namespace}/${metadata.name}`,
  }),
});

it('gives every proxy consistent resources, whatever the configuration', () => {
  fc.assert(
    fc.property(mesh, (input) => {
      const snapshot = buildSnapshot(input);
      const shuffled = buildSnapshot({
        ...input,
        services: [...input.services].reverse(),
        workloads: [...input.workloads].reverse(),
        configs: [...input.configs].reverse(),
      });
      const pods = [...input.workloads.map((pod) => `${pod.name}.${pod.namespace}`), 'stranger.default'];
      for (const pod of pods) {
        const proxy = proxyOf(input, pod);
        const view = resolveProxyView(snapshot, proxy);
        const resources = buildResources(view);
        expect(checkConsistency(resources)).toEqual([]);
        expect(resources.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
        expect(viewKey(resolveProxyView(shuffled, proxy))).toBe(viewKey(view));
      }
    }),
    { numRuns: 300 },
  );
});
