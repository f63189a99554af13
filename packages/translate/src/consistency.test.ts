// Checks that every kind of inconsistency is found: each by breaking resources that are consistent.

import { create } from '@bufbuild/protobuf';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { describe, expect, it } from 'vitest';
import { buildResources, buildSnapshot, checkConsistency, type ProxyResources, resolveProxyView } from './index.js';

const workload = {
  name: 'web-0',
  namespace: 'default',
  labels: { app: 'web' },
  annotations: {},
  serviceAccount: 'web',
  workloadName: 'web',
  address: '127.1.0.5',
  ports: [{ port: 80, appPort: 20_080, name: 'http' }],
  ready: true,
  serviceAddresses: { 'web.default.svc.cluster.local': '127.1.1.1' },
  gateway: false,
  extraBindAddresses: {},
};
const service = {
  name: 'web',
  namespace: 'default',
  labels: {},
  annotations: {},
  selector: { app: 'web' },
  ports: [{ name: 'http', port: 80, targetPort: 80, appProtocol: '' }],
};
const proxy = {
  id: 'sidecar~127.1.0.5~web-0.default~default.svc.cluster.local',
  type: 'sidecar' as const,
  ipAddress: '127.1.0.5',
  podName: 'web-0',
  namespace: 'default',
  serviceAccount: 'web',
  workloadName: 'web',
  clusterId: 'Kubernetes',
  locality: '',
  labels: {},
  interceptionMode: 'NONE' as const,
  understandsIstioFilters: true,
  proxyless: false,
  metadata: {},
};

function consistent(): ProxyResources {
  const snapshot = buildSnapshot({ namespaces: [], services: [service], workloads: [workload], configs: [] });
  return buildResources(resolveProxyView(snapshot, proxy));
}

/** The codes that are found. */
function codes(resources: ProxyResources): string[] {
  return [...new Set(checkConsistency(resources).map(({ code }) => code))];
}

const OUTBOUND = 'outbound|80||web.default.svc.cluster.local';
const without = <T extends { readonly name: string }>(list: readonly T[], name: string) =>
  list.filter((resource) => resource.name !== name);

describe('checkConsistency', () => {
  const resources = consistent();

  it('finds nothing in what translation makes', () => {
    expect(checkConsistency(resources)).toEqual([]);
  });

  it('finds a route to a cluster that is not there, in RDS and inline', () => {
    expect(codes({ ...resources, clusters: without(resources.clusters, OUTBOUND) })).toEqual(['dangling-cluster']);
    const inline = checkConsistency({ ...resources, clusters: without(resources.clusters, 'inbound|80||') });
    expect(inline[0]).toMatchObject({ code: 'dangling-cluster', severity: 'error', subject: 'LDS/127.1.0.5_80' });
  });

  it('finds a listener whose routes, and a cluster whose endpoints, are not there', () => {
    expect(codes({ ...resources, routes: without(resources.routes, 'http_proxy') })).toEqual(['dangling-route']);
    expect(codes({ ...resources, endpoints: [] })).toEqual(['dangling-endpoints']);
  });

  it('finds names, domains and addresses that are there twice', () => {
    expect(codes({ ...resources, clusters: [...resources.clusters, resources.clusters[0]!] })).toEqual([
      'duplicate-name',
    ]);
    const domains = ['a', 'b'].map((name) => ({ name, domains: ['web', name.toUpperCase()], routes: [] }));
    const route = { name: 'x', message: create(RouteConfigurationSchema, { name: 'x', virtualHosts: domains }) };
    expect(codes({ ...resources, routes: [...resources.routes, route] })).toEqual(['duplicate-domain']);
    const { address } = resources.listeners[0]!.message;
    const listener = { name: 'again', message: create(ListenerSchema, { name: 'again', address }) };
    expect(codes({ ...resources, listeners: [...resources.listeners, listener] })).toEqual(['duplicate-address']);
  });
});
