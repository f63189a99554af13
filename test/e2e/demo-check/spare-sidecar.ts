// Demo check: a sidecar of its own, driven by the small ADS server, with one listener in front of one backend.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { stringify } from 'yaml';
import { freePort } from '../../harness/free-port.js';
import { type Resources, SmallAdsServer } from './ads-server.js';

const HTTP_PREFIX = 'type.googleapis.com/envoy.extensions.filters';

export class SpareSidecar {
  private constructor(
    readonly url: string,
    readonly ads: SmallAdsServer,
    /** The resources, with fields of the one route's action set or replaced. */
    readonly resourcesWith: (routeAction: object) => Resources,
    /** What the sidecar wrote. */
    readonly output: () => string,
    readonly close: () => Promise<void>,
  ) {}

  /** Starts backend, ADS server and sidecar. The sidecar may need a moment until its listener is there. */
  static async start(repository: string): Promise<SpareSidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-spare-'));
    const backend = createServer((_request, response) => response.end('backend'));
    const backendPort = await listen(backend);
    const port = await freePort();
    const resourcesWith = (routeAction: object) => buildResources(port, backendPort, routeAction);
    const ads = await SmallAdsServer.start(resourcesWith({}));
    const file = join(directory, 'bootstrap.yaml');
    writeFileSync(file, bootstrap(ads.port, await freePort()));
    const program = join(repository, 'bin', 'lateen-sidecar');
    const child = spawn(
      process.execPath,
      [program, '--config-path', file, '--state-dir', join(directory, 'state'), '--exit-with-parent'],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    const output = collectOutput(child);
    return new SpareSidecar(`http://127.0.0.1:${port}`, ads, resourcesWith, output, async () => {
      const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : undefined;
      child.kill('SIGKILL');
      await ended;
      ads.close();
      backend.close();
      backend.closeAllConnections();
      rmSync(directory, { recursive: true });
    });
  }
}

function collectOutput(child: ChildProcess): () => string {
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return () => output;
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

function socketAddress(port: number): object {
  return { socket_address: { address: '127.0.0.1', port_value: port } };
}

function loadAssignment(cluster: string, port: number): object {
  const endpoint = { address: socketAddress(port) };
  return { cluster_name: cluster, endpoints: [{ lb_endpoints: [{ endpoint }] }] };
}

function bootstrap(adsPort: number, adminPort: number): string {
  const source = () => ({ ads: {}, resource_api_version: 'V3' });
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return stringify({
    node: { id: 'sidecar~127.0.0.1~spare.default~default.svc.cluster.local', cluster: 'spare.default' },
    admin: { address: socketAddress(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: 'GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds' } }],
      },
      cds_config: source(),
      lds_config: source(),
    },
    static_resources: {
      clusters: [
        {
          name: 'xds',
          type: 'STATIC',
          connect_timeout: '1s',
          load_assignment: loadAssignment('xds', adsPort),
          typed_extension_protocol_options: {
            [options]: {
              '@type': `type.googleapis.com/${options}`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
        },
      ],
    },
  });
}

function buildResources(port: number, backendPort: number, routeAction: object): Resources {
  const cluster = fromEnvoyJson(ClusterSchema, {
    name: 'backend',
    type: 'STATIC',
    connect_timeout: '1s',
    load_assignment: loadAssignment('backend', backendPort),
  });
  const route = { match: { prefix: '/' }, route: { cluster: 'backend', ...routeAction } };
  const listener = fromEnvoyJson(ListenerSchema, {
    name: 'front',
    address: socketAddress(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${HTTP_PREFIX}.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'front',
              route_config: { name: 'front', virtual_hosts: [{ name: 'all', domains: ['*'], routes: [route] }] },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${HTTP_PREFIX}.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  });
  return { clusters: [cluster], listeners: [listener] };
}
