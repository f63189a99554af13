// Whatever the configuration, the resources of every proxy are consistent, and the same whatever the order of the input.

import { type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { ConfigObject } from '@lateen/istio-config';
import { TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  buildResources,
  buildSnapshot,
  checkConsistency,
  type NamedResource,
  type PackedSet,
  type ProxyNode,
  resolveProxyView,
  type SnapshotInput,
  TranslationCache,
  viewKey,
} from '../src/index.js';
import { hex, KeyLog } from './key-log.js';
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
  Telemetry: fc.record(
    {
      selector: fc.record({ matchLabels: labels }),
      accessLogging: fc.constant([{ providers: [{ name: 'envoy' }] }]),
      metrics: fc.constantFrom(
        [{ providers: [{ name: 'prometheus' }], overrides: [{ tagOverrides: { a: { value: 'b' } } }] }],
        [{ providers: [{ name: 'nobody' }] }],
      ),
    },
    { requiredKeys: [] },
  ),
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

const meshConfig = fc.constantFrom<NonNullable<SnapshotInput['meshConfig']>>(
  {},
  { accessLogFile: '/dev/stdout' },
  { outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' } },
  { enableAutoMtls: false },
  { rootNamespace: 'shop' },
  { trustDomain: 'other' },
  { connectTimeout: '3s' },
);

const mesh: fc.Arbitrary<SnapshotInput> = fc.record({
  meshConfig,
  namespaces: fc.constant([]),
  services: fc.array(service, { maxLength: 6 }),
  workloads: fc.uniqueArray(workload, { maxLength: 5, selector: ({ name, namespace }) => `${namespace}/${name}` }),
  configs: fc.uniqueArray(config, {
    maxLength: 10,
    selector: ({ kind, metadata }) => `${kind}/${metadata.namespace}/${metadata.name}`,
  }),
});

/** Of the pods of a mesh, and of a client without a proxy. */
function proxiesOf(input: SnapshotInput): ProxyNode[] {
  const pods = [...input.workloads.map((pod) => `${pod.name}.${pod.namespace}`), 'stranger.default'];
  const proxyless = proxyOf(input, 'stranger.default', { GENERATOR: 'grpc', LATEEN_VERSION: '' });
  return [...pods.map((pod) => proxyOf(input, pod)), proxyless];
}

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
      for (const proxy of proxiesOf(input)) {
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

type Change = (input: SnapshotInput, other: SnapshotInput, index: number) => SnapshotInput;

/** One thing that is different; what two meshes have in common is what they could wrongly share. */
const CHANGES: Readonly<Record<string, Change>> = {
  meshConfig: (input, { meshConfig }) => ({ ...input, meshConfig }),
  services: (input, { services }) => ({ ...input, services }),
  workloads: (input, { workloads }) => ({ ...input, workloads }),
  readiness: (input, _, at) => ({
    ...input,
    workloads: input.workloads.map((each, index) => (index === at ? { ...each, ready: !each.ready } : each)),
  }),
  lessConfig: (input, _, at) => ({ ...input, configs: input.configs.filter((_config, index) => index !== at) }),
  moreConfig: (input, { configs }) => {
    const name = ({ kind, metadata }: ConfigObject) => `${kind}/${metadata.namespace}/${metadata.name}`;
    const known = new Set(input.configs.map(name));
    return { ...input, configs: [...input.configs, ...configs.filter((each) => !known.has(name(each))).slice(0, 1)] };
  },
};

const neighbours = fc
  .record({ one: mesh, other: mesh, change: fc.constantFrom(...Object.values(CHANGES)), index: fc.nat(9) })
  .map(({ one, other, change, index }) => [one, change(one, other, index)] as const);

it('never gives two different resources the same key, in whatever snapshots', () => {
  fc.assert(
    fc.property(neighbours, (meshes) => {
      const log = new KeyLog();
      for (const input of meshes) {
        const snapshot = buildSnapshot(structuredClone(input));
        for (const pod of [...input.workloads.map((each) => `${each.name}.${each.namespace}`), 'stranger.default']) {
          for (const metadata of [{}, { INTERCEPTION_MODE: 'REDIRECT', LATEEN_VERSION: '' }]) {
            log.noteView(resolveProxyView(snapshot, proxyOf(input, pod, metadata)));
          }
        }
        log.noteView(resolveProxyView(snapshot, proxiesOf(input).at(-1)!));
      }
    }),
    { numRuns: 100 },
  );
});

/** What is served, decoded, in the order of names. */
function decoded<Desc extends DescMessage>(schema: Desc, set: PackedSet | undefined) {
  return [...(set ?? [])].map(([name, { any }]) => [name, hex(toBinary(schema, fromBinary(schema, any.value)))]).sort();
}

function built<Desc extends DescMessage>(schema: Desc, resources: readonly NamedResource<MessageShape<Desc>>[]) {
  return resources.map(({ name, message }) => [name, hex(toBinary(schema, message))]).sort();
}

it('serves from the cache, over several snapshots, what building all of it anew makes', () => {
  fc.assert(
    fc.property(neighbours, ([one, other]) => {
      const cache = new TranslationCache();
      for (const input of [one, other, one]) {
        const snapshot = buildSnapshot(structuredClone(input));
        cache.startGeneration();
        for (const proxy of proxiesOf(input)) {
          const view = resolveProxyView(snapshot, proxy);
          const { resources, faults, problems } = cache.translate(view);
          const expected = buildResources(view);
          expect(faults).toEqual([]);
          expect(problems).toEqual(expected.problems);
          const sets = [
            [decoded(ClusterSchema, resources.get(TYPE_URL.cluster)), built(ClusterSchema, expected.clusters)],
            [
              decoded(ClusterLoadAssignmentSchema, resources.get(TYPE_URL.endpoint)),
              built(ClusterLoadAssignmentSchema, expected.endpoints),
            ],
            [decoded(ListenerSchema, resources.get(TYPE_URL.listener)), built(ListenerSchema, expected.listeners)],
            [
              decoded(RouteConfigurationSchema, resources.get(TYPE_URL.route)),
              built(RouteConfigurationSchema, expected.routes),
            ],
          ];
          for (const [actual, wanted] of sets) expect(actual).toEqual(wanted);
        }
      }
    }),
    { numRuns: 100 },
  );
});
