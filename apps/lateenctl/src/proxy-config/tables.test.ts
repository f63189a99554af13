// Tests of the proxy-config tables, from Envoy's own shapes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { clusterTable } from './cluster-table.js';
import { readConfigDump } from './config-dump.js';
import { endpointTable } from './endpoint-table.js';
import { listenerTable } from './listener-table.js';
import { PARTS, shortOfAll } from './parts.js';
import { fileSource } from './proxy-source.js';
import { routeTable } from './route-table.js';
import { secretRows } from './secret-table.js';

const PREFIX = 'type.googleapis.com/envoy.admin.v3.';
const istio = (config: string) => ({ filter_metadata: { istio: { config } } });

const DUMP = {
  configs: [
    {
      '@type': `${PREFIX}ClustersConfigDump`,
      static_clusters: [{ cluster: { name: 'xds-grpc', type: 'STATIC' } }],
      dynamic_active_clusters: [
        {
          cluster: {
            name: 'outbound|9080|v1|reviews.default.svc.cluster.local',
            type: 'EDS',
            metadata: istio('/apis/networking.istio.io/v1/namespaces/default/destination-rule/reviews'),
          },
        },
      ],
    },
    {
      '@type': `${PREFIX}ListenersConfigDump`,
      dynamic_listeners: [
        {
          name: '127.30.0.16_9080',
          active_state: {
            listener: {
              name: '127.30.0.16_9080',
              address: { socket_address: { address: '127.30.0.16', port_value: 9080 } },
              filter_chains: [
                {
                  filter_chain_match: { transport_protocol: 'tls', application_protocols: ['istio', 'istio-http/1.1'] },
                  transport_socket: { name: 'envoy.transport_sockets.tls' },
                  filters: [{ typed_config: { route_config: { name: 'inbound|http|9080' } } }],
                },
                {
                  filter_chain_match: { transport_protocol: 'raw_buffer' },
                  filters: [{ typed_config: { rds: { route_config_name: '9080' } } }],
                },
              ],
            },
          },
        },
        { name: 'warming-only', warming_state: {} },
      ],
    },
    {
      '@type': `${PREFIX}RoutesConfigDump`,
      dynamic_route_configs: [
        {
          route_config: {
            name: '9080',
            virtual_hosts: [
              {
                name: 'reviews.default.svc.cluster.local:9080',
                domains: ['reviews', 'reviews.default'],
                routes: [
                  {
                    match: { prefix: '/', headers: [{ name: 'end-user', string_match: { exact: 'jason' } }] },
                    route: { cluster: 'outbound|9080|v2|reviews' },
                    metadata: istio('/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews'),
                  },
                  {
                    match: { path: '/half' },
                    route: {
                      weighted_clusters: {
                        clusters: [
                          { name: 'a', weight: 50 },
                          { name: 'b', weight: 50 },
                        ],
                      },
                    },
                  },
                ],
              },
            ],
          },
        },
      ],
    },
  ],
};

/** Cells of a table's lines, without its heading. */
const rows = (table: string) =>
  table
    .split('\n')
    .slice(1)
    .map((line) => line.split(/ {3,}/));

describe('a dump without a state of the sidecar', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-dump-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'dump.json');
  writeFileSync(file, JSON.stringify({ configs: [{ '@type': `${PREFIX}ClustersConfigDump` }] }));

  it.each(['bootstrap', 'secret'])('refuses %s, and says so among all', async (name) => {
    const source = fileSource(file);
    const refusal = `${file}: there is no ${name} in it; ask the sidecar, on its own machine`;
    await expect(PARTS.find((part) => part.name === name)!.read(source)).rejects.toThrow(refusal);
    expect(await shortOfAll(source)).toContain(`${name.toUpperCase()}\n- (${refusal})`);
  });
});

describe('proxy-config tables', () => {
  const dump = readConfigDump(DUMP);

  it('shows clusters by the parts of their names, with their DestinationRule', () => {
    expect(rows(clusterTable(dump.clusters))).toEqual([
      ['reviews.default.svc.cluster.local', '9080', 'v1', 'outbound', 'EDS', 'reviews.default'],
      ['xds-grpc', '-', '-', '-', 'STATIC'],
    ]);
  });

  it('shows a row for each filter chain, and only active listeners', () => {
    expect(rows(listenerTable(dump.listeners))).toEqual([
      ['127.30.0.16', '9080', 'Trans: raw_buffer', 'Route: 9080'],
      ['127.30.0.16', '9080', 'Trans: tls; App: istio,istio-http/1.1', 'Inline Route: inbound|http|9080 (TLS)'],
    ]);
  });

  it('says why a listener is not in effect', () => {
    const listener = (name: string, port: number) => ({
      name,
      address: { socket_address: { address: '127.0.0.1', port_value: port } },
      filter_chains: [{ filters: [{ typed_config: { rds: { route_config_name: name } } }] }],
    });
    const states = readConfigDump({
      configs: [
        {
          '@type': `${PREFIX}ListenersConfigDump`,
          dynamic_listeners: [
            {
              name: 'a',
              active_state: { listener: listener('a', 1) },
              warming_state: { listener: listener('a', 2) },
              error_state: { details: 'cannot bind 127.0.0.1:2' },
            },
            { name: 'b', warming_state: { listener: listener('b', 3) } },
            { name: 'c', error_state: { details: 'name: is required\nfilter_chains: is empty' } },
          ],
        },
      ],
    });
    expect(rows(listenerTable(states.listeners))).toEqual([
      ['-', '-', '-', 'c', 'refused: name: is required; filter_chains: is empty'],
      ['127.0.0.1', '1', 'ALL', 'Route: a', 'active'],
      ['127.0.0.1', '2', 'ALL', 'Route: a', 'warming: cannot bind 127.0.0.1:2'],
      ['127.0.0.1', '3', 'ALL', 'Route: b', 'warming'],
    ]);
  });

  it('shows what each route matches, where it leads and which VirtualService made it', () => {
    const shared = ['9080', 'reviews.default.svc.cluster.local:9080', 'reviews + 1 more'];
    expect(rows(routeTable(dump.routes))).toEqual([
      [...shared, '/* end-user=jason', 'outbound|9080|v2|reviews', 'reviews.default'],
      [...shared, '/half', 'a 50%, b 50%'],
    ]);
  });

  it('shows endpoints with their health', () => {
    const clusters = {
      cluster_statuses: [
        {
          name: 'c',
          host_statuses: [
            {
              address: { socket_address: { address: '127.30.0.20', port_value: 9080 } },
              health_status: { eds_health_status: 'HEALTHY', failed_outlier_check: true },
            },
            {
              address: { socket_address: { address: '127.30.0.21', port_value: 9080 } },
              health_status: { eds_health_status: 'HEALTHY', failed_active_health_check: true },
            },
          ],
        },
      ],
    };
    expect(rows(endpointTable(clusters))).toEqual([
      ['127.30.0.20:9080', 'HEALTHY', 'FAILED', 'c'],
      ['127.30.0.21:9080', 'UNHEALTHY', 'OK', 'c'],
    ]);
  });

  it('shows each certificate once, with its validity now', () => {
    const details = (serial: string, from: string, to: string) => ({
      serial_number: serial,
      valid_from: from,
      expiration_time: to,
      subject_alt_names: [{ uri: 'spiffe://cluster.local/ns/default/sa/web' }],
    });
    const root = details('01', '2026-01-01T00:00:00Z', '2036-01-01T00:00:00Z');
    const certs = {
      certificates: [
        { ca_cert: [root], cert_chain: [details('0a', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'), root] },
        { ca_cert: [root], cert_chain: [] },
      ],
    };
    const at = (time: string) =>
      secretRows(certs, Date.parse(time)).map(({ resourceName, serialNumber, status }) => [
        resourceName,
        serialNumber,
        status,
      ]);
    expect(at('2026-01-01T12:00:00Z')).toEqual([
      ['default', '0a', 'ACTIVE'],
      ['ROOTCA', '01', 'ACTIVE'],
    ]);
    expect(at('2026-01-03T00:00:00Z')[0]).toEqual(['default', '0a', 'EXPIRED']);
  });
});
