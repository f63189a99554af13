// Checks what makes two views the same, and that results are stable and shared.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { toBinary } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { describe, expect, it } from 'vitest';
import {
  buildResources,
  buildSnapshot,
  type ProxyNode,
  resolveProxyView,
  type SnapshotInput,
  viewKey,
} from '../src/index.js';
import { proxyOf, readMesh, TEST_ROOT } from './mesh-fixture.js';

const input = readMesh(readFileSync(join(TEST_ROOT, 'cases/handbook-client/in.yaml'), 'utf8'));

function keyOf(mesh: SnapshotInput, proxy: ProxyNode): string {
  return viewKey(resolveProxyView(buildSnapshot(mesh), proxy));
}

describe('viewKey', () => {
  const proxy = proxyOf(input, 'productpage-v1-0.default');

  it('does not depend on the order of the input', () => {
    const reversed: SnapshotInput = {
      ...input,
      services: [...input.services].reverse(),
      workloads: [...input.workloads].reverse(),
      configs: [...input.configs].reverse(),
    };
    expect(keyOf(reversed, proxy)).toBe(keyOf(input, proxy));
  });

  it('is the same for proxies that differ in nothing that matters', () => {
    const stranger = (podName: string, labels: Record<string, string>): ProxyNode => ({ ...proxy, podName, labels });
    const one = keyOf(input, stranger('unknown-1', { app: 'x', 'pod-template-hash': '1' }));
    expect(keyOf(input, stranger('unknown-2', { app: 'x', 'pod-template-hash': '2' }))).toBe(one);
  });

  it('changes with configuration, readiness, address and what the node understands', () => {
    const key = keyOf(input, proxy);
    const notReady = { ...input, workloads: input.workloads.map((workload) => ({ ...workload, ready: false })) };
    const elsewhere = {
      ...input,
      workloads: input.workloads.map((workload) => ({
        ...workload,
        address: workload.address.replace('127.1', '127.2'),
      })),
    };
    for (const other of [
      keyOf({ ...input, configs: input.configs.filter(({ kind }) => kind !== 'VirtualService') }, proxy),
      keyOf({ ...input, configs: input.configs.filter(({ kind }) => kind !== 'PeerAuthentication') }, proxy),
      keyOf({ ...input, meshConfig: { accessLogFile: '/dev/stdout' } }, proxy),
      keyOf(notReady, proxy),
      keyOf(elsewhere, proxy),
      keyOf(input, { ...proxy, understandsIstioFilters: false }),
      keyOf(input, { ...proxy, interceptionMode: 'REDIRECT' }),
      keyOf(input, proxyOf(input, 'reviews-v1-0.default')),
    ]) {
      expect(other).not.toBe(key);
    }
  });

  it('does not change with what the proxy does not see', () => {
    const key = keyOf(input, proxy);
    const elsewhere = { ...input.configs[0]!.metadata, namespace: 'elsewhere', name: 'x' };
    const config = (kind: string, spec: unknown) => ({ ...input.configs[0]!, kind, metadata: elsewhere, spec });
    const mesh = (...more: unknown[]) => ({ ...input, configs: [...input.configs, ...more] }) as SnapshotInput;
    for (const other of [
      mesh(config('VirtualService', { hosts: ['web'], gateways: ['edge'], http: [] })),
      mesh(config('VirtualService', { hosts: ['web'], exportTo: ['.'], http: [] })),
      mesh(config('DestinationRule', { host: 'web', exportTo: ['.'] })),
      mesh(config('Gateway', { selector: { app: 'edge' }, servers: [] })),
      mesh(config('Telemetry', { metrics: [{ overrides: [{ disabled: true }] }] })),
      { ...input, configs: input.configs.map((each) => ({ ...each, source: { file: 'moved', line: 9, column: 1 } })) },
      {
        ...input,
        configs: input.configs.map((each) => ({ ...each, metadata: { ...each.metadata, labels: { a: 'b' } } })),
      },
    ]) {
      expect(keyOf(other as SnapshotInput, proxy)).toBe(key);
    }
  });

  it('changes with a label that a rule selects clients by', () => {
    const spec = {
      hosts: ['reviews'],
      http: [{ match: [{ sourceLabels: { tier: 'gold' } }], route: [{ destination: { host: 'reviews' } }] }],
    };
    const rule = { ...input.configs[0]!, kind: 'VirtualService' as const, spec };
    const mesh = { ...input, configs: [rule] as SnapshotInput['configs'] };
    const stranger = (labels: Record<string, string>) => keyOf(mesh, { ...proxy, podName: 'unknown', labels });
    expect(stranger({ tier: 'gold' })).not.toBe(stranger({ tier: 'tin' }));
    expect(stranger({ tier: 'gold', other: 'a' })).toBe(stranger({ tier: 'gold', other: 'b' }));
    expect(stranger({ tier: 'tin' })).toBe(stranger({ tier: 'iron' }));
  });
});

describe('buildResources', () => {
  it('makes the same bytes of equal snapshots', () => {
    const bytes = () => {
      const resources = buildResources(
        resolveProxyView(buildSnapshot(input), proxyOf(input, 'productpage-v1-0.default')),
      );
      return [
        ...resources.clusters.map(({ message }) => Buffer.from(toBinary(ClusterSchema, message)).toString('hex')),
        ...resources.listeners.map(({ message }) => Buffer.from(toBinary(ListenerSchema, message)).toString('hex')),
        ...resources.routes.map(({ message }) =>
          Buffer.from(toBinary(RouteConfigurationSchema, message)).toString('hex'),
        ),
      ];
    };
    expect(bytes()).toEqual(bytes());
  });
});

it('gives a gateway of a namespace that discoverySelectors leave out nothing to listen on: the policies for it are not known', () => {
  const gateway = readMesh(readFileSync(join(TEST_ROOT, 'cases/authorization-gateway/in.yaml'), 'utf8'));
  const moved = <T extends { readonly namespace: string }>(each: T): T =>
    each.namespace === 'istio-system' ? { ...each, namespace: 'edge' } : each;
  const mesh: SnapshotInput = {
    ...gateway,
    workloads: gateway.workloads.map(moved),
    configs: gateway.configs.map((each) => ({ ...each, metadata: moved(each.metadata) })),
  };
  const proxy = proxyOf(mesh, 'edge-0.edge');
  const listenersWith = (discoverySelectors?: SnapshotInput['meshConfig']) =>
    resolveProxyView(buildSnapshot({ ...mesh, meshConfig: discoverySelectors }), proxy).gatewayListeners.length;
  expect(listenersWith()).toBe(2);
  const matchLabels = { 'kubernetes.io/metadata.name': 'default' };
  expect(listenersWith({ discoverySelectors: [{ matchLabels }] })).toBe(0);
});

it('lets no Service of another namespace say how a pod takes calls, whatever pods its EndpointSlices name', () => {
  const [web] = input.services;
  const pod = input.workloads.find(({ name }) => name === 'reviews-v1-0')!;
  const endpoint = {
    addresses: [pod.address],
    ready: true,
    pod: `${pod.namespace}/${pod.name}`,
    hostname: '',
    node: '',
  };
  const service = (namespace: string): SnapshotInput['services'][number] => ({
    ...web!,
    ...{ name: 'aaa', namespace, selector: {} },
    ports: [{ name: 'http-raw', port: 8000, targetPort: 9080, appProtocol: '' }],
    endpoints: [{ ...endpoint, ports: { 'http-raw': 9080 } }],
  });
  const view = (namespace: string) => {
    const mesh = buildSnapshot({ ...input, services: [...input.services, service(namespace)] });
    return resolveProxyView(mesh, proxyOf(input, 'reviews-v1-0.default'));
  };
  const hosts = (namespace: string) =>
    view(namespace).inboundPorts.flatMap(({ services }) => services.map(({ hostname }) => hostname));
  expect(hosts('other')).toEqual(['reviews.default.svc.cluster.local']);
  expect(view('other').inboundPorts[0]!.servicePort).toBe(9080);
  expect(hosts('default')).toEqual(['aaa.default.svc.cluster.local', 'reviews.default.svc.cluster.local']);
});
