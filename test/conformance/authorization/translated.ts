// Authorization, translation: the RBAC filters that Pilot would send the sidecar of a workload for its policies.

import type { ConfigObject } from '@lateen/istio-config';
import { buildResources, buildSnapshot, parseProxyNode, resolveProxyView, type Workload } from '@lateen/translate';
import { anyIs, fromEnvoyJson, unpackAny } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Filter } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import {
  type HttpConnectionManager,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { MESH, WORKLOAD } from './random-calls.js';

const ADDRESS = '127.1.0.1';
const HTTP_PORT = 8080;
const TCP_PORT = 9090;

const workload: Workload = {
  name: 'shop-1',
  ...WORKLOAD,
  annotations: {},
  serviceAccount: 'shop',
  workloadName: 'shop',
  address: ADDRESS,
  ports: [HTTP_PORT, TCP_PORT].map((port) => ({ port, appPort: port, name: '' })),
  ready: true,
  serviceAddresses: {},
  gateway: false,
  extraBindAddresses: {},
};
const node = parseProxyNode(
  fromEnvoyJson(NodeSchema, {
    id: `sidecar~${ADDRESS}~shop-1.shop~shop.svc.cluster.local`,
    metadata: { NAMESPACE: 'shop', LABELS: WORKLOAD.labels, INTERCEPTION_MODE: 'NONE', LATEEN_VERSION: '0.1.0' },
  }),
);

/** What a listener of the workload does with requests, and what with connections. */
export interface TranslatedPolicies {
  readonly manager: HttpConnectionManager;
  readonly connectionFilters: readonly Filter[];
}

export function translatePolicies(policies: readonly ConfigObject<'AuthorizationPolicy'>[]): TranslatedPolicies {
  if (!node.ok) throw new Error(node.errors.join('; '));
  const { trustDomain, trustDomainAliases } = MESH;
  const port = (name: string, number: number) => ({ name, port: number, targetPort: number, appProtocol: '' });
  const snapshot = buildSnapshot({
    meshConfig: { trustDomain, trustDomainAliases: [...trustDomainAliases] },
    namespaces: [],
    services: [
      {
        namespace: WORKLOAD.namespace,
        name: 'shop',
        labels: {},
        annotations: {},
        selector: { app: 'shop' },
        ports: [port('http', HTTP_PORT), port('tcp', TCP_PORT)],
      },
    ],
    workloads: [workload],
    configs: policies,
  });
  const { listeners } = buildResources(resolveProxyView(snapshot, node.proxy));
  const filtersAt = (at: number) =>
    listeners.find(({ name }) => name === `${ADDRESS}_${at}`)?.message.filterChains[0]?.filters ?? [];
  const manager = filtersAt(HTTP_PORT).flatMap(({ configType }) =>
    configType.case === 'typedConfig' && anyIs(configType.value, HttpConnectionManagerSchema)
      ? [unpackAny(configType.value, HttpConnectionManagerSchema)]
      : [],
  )[0];
  if (manager === undefined) throw new Error('the workload has no listener for HTTP');
  return { manager, connectionFilters: filtersAt(TCP_PORT) };
}
