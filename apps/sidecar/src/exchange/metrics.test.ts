// Metadata exchange and the standard metrics: both reporters of one request say the same, and nothing leaks to the app.

import { TestAuthority } from '@lateen/identity/testing';
import { ISTIO_LABELS } from '@lateen/telemetry';
import { describe, expect, it } from 'vitest';
import type { RequestMetricSeries } from '../data-plane.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  TLS_INSPECTOR,
  testNode,
  toCluster,
} from '../testing/envoy-config.js';
import { meshClientSocket, meshServerSocket, workloadSecrets } from '../testing/mesh-identity.js';
import { startProxy, startUpstream } from '../testing/proxy-fixture.js';

const typedStruct = (name: string, type: string, value: object = {}) => ({
  name,
  typed_config: {
    '@type': 'type.googleapis.com/udpa.type.v1.TypedStruct',
    type_url: `type.googleapis.com/${type}`,
    value,
  },
});
const OVERRIDES = { metrics: [{ dimensions: { destination_service: 'destination_service_name' } }] };
const MESH_FILTERS = [
  typedStruct('istio.metadata_exchange', 'io.istio.http.peer_metadata.Config'),
  typedStruct('istio.stats', 'stats.PluginConfig', OVERRIDES),
];
const SERVICES = {
  filter_metadata: {
    istio: { services: [{ host: 'reviews.default.svc.cluster.local', name: 'reviews', namespace: 'default' }] },
  },
};

function node(workload: string, app: string) {
  return testNode({
    NAME: `${workload}-0`,
    NAMESPACE: 'default',
    WORKLOAD_NAME: workload,
    CLUSTER_ID: 'Kubernetes',
    LABELS: { app, version: 'v1' },
  });
}

async function startPair(metadataExchange = true) {
  const filters = metadataExchange ? MESH_FILTERS : MESH_FILTERS.slice(1);
  const authority = await TestAuthority.create();
  const app = await startUpstream();
  const inbound = await startProxy(
    dataPlaneConfig(
      [
        listener(
          'in',
          [
            {
              filter_chain_match: { transport_protocol: 'tls' },
              filters: [connectionManager(anyHost(toCluster('app')), {}, filters)],
              transport_socket: meshServerSocket(),
            },
          ],
          { listener_filters: [TLS_INSPECTOR], traffic_direction: 'INBOUND' },
        ),
      ],
      [cluster('app', [endpointOf(app.port)], { metadata: SERVICES })],
      await workloadSecrets(authority, 'reviews'),
    ),
    { node: node('reviews-v1', 'reviews') },
  );
  const endpoint = endpointOf(inbound.port(), {
    metadata: { filter_metadata: { istio: { workload: 'reviews-v1;default;reviews;v1;Kubernetes' } } },
  });
  const outbound = await startProxy(
    dataPlaneConfig(
      [
        listener('out', [{ filters: [connectionManager(anyHost(toCluster('reviews')), {}, filters)] }], {
          traffic_direction: 'OUTBOUND',
        }),
      ],
      [cluster('reviews', [endpoint], { transport_socket: meshClientSocket('reviews'), metadata: SERVICES })],
      await workloadSecrets(authority, 'productpage'),
    ),
    { node: node('productpage-v1', 'productpage') },
  );
  return { app, inbound, outbound };
}

async function sendOne({
  app,
  outbound,
}: Awaited<ReturnType<typeof startPair>>): Promise<{ request: string; response: string }> {
  const client = await outbound.client();
  client.send('POST / HTTP/1.1\r\nHost: reviews\r\nContent-Length: 3\r\n\r\nabc');
  const server = await app.next();
  const { head: request } = await server.message();
  server.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
  const { head: response } = await client.message();
  return { request, response };
}

const only = (series: Iterable<RequestMetricSeries>): RequestMetricSeries => {
  const all = [...series];
  expect(all).toHaveLength(1);
  return all[0]!;
};

describe('metrics', () => {
  it('agree in count and labels at both reporters', async () => {
    const pair = await startPair();
    const { request, response } = await sendOne(pair);
    expect(request + response).not.toMatch(/x-envoy-peer-metadata/i);
    const source = only(pair.outbound.dataPlane.metricSeries());
    const destination = only(pair.inbound.dataPlane.metricSeries());
    const { reporter, connection_security_policy: policy, ...common } = source.labels;
    expect([reporter, policy]).toEqual(['source', 'unknown']);
    expect(destination.labels).toEqual({
      ...common,
      reporter: 'destination',
      connection_security_policy: 'mutual_tls',
    });
    expect(Object.keys(source.labels).sort()).toEqual([...ISTIO_LABELS].sort());
    expect(common).toMatchObject({
      source_workload: 'productpage-v1',
      source_app: 'productpage',
      source_principal: 'spiffe://cluster.local/ns/default/sa/productpage',
      destination_workload: 'reviews-v1',
      destination_principal: 'spiffe://cluster.local/ns/default/sa/reviews',
      destination_service: 'reviews.default.svc.cluster.local',
      destination_service_name: 'reviews',
      destination_service_namespace: 'default',
      destination_canonical_revision: 'v1',
      response_code: '200',
      response_flags: '-',
      request_protocol: 'http',
    });
    for (const series of [source, destination]) {
      expect(series.requestsTotal).toBe(1);
      expect(series.statsConfig).toEqual(OVERRIDES);
      expect(series.durationMs.count).toBe(1);
      expect(series.requestBytes.sum).toBeGreaterThan(3);
      expect(series.responseBytes.sum).toBeGreaterThan(2);
      expect(series.responseBytes.buckets.at(-1)).toBe(1);
    }
  });

  it('take the endpoint for the peer where the peer tells nothing', async () => {
    const pair = await startPair(false);
    await sendOne(pair);
    expect(only(pair.outbound.dataPlane.metricSeries()).labels).toMatchObject({
      destination_workload: 'reviews-v1',
      destination_canonical_service: 'reviews',
    });
    expect(only(pair.inbound.dataPlane.metricSeries()).labels).toMatchObject({
      source_workload: 'unknown',
      source_principal: 'spiffe://cluster.local/ns/default/sa/productpage',
    });
  });
});
