// Part of the build step: starts the sidecar once on a small mesh, by ADS, so that what a start needs is compiled.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { fromEnvoyJson, packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { createAdsService, ENVOY_SERVED_TYPES } from '@lateen/xds-stream';

/**
 * V8 takes a code cache only under the flags that it was made under, which are none. These are the defaults, given so that
 * src/small-heap.ts and held-optimizer.ts do not set others before the cache is written.
 */
export const NODE_FLAGS = ['--semi-space-growth-factor=2', '--opt'];
const LIMIT_MS = 60_000;
const POLL_MS = 20;
/** More than V8 calls before it would optimize, few enough for a quick build. */
const SERVICES = 5;

const ADS = { ads: {}, resource_api_version: 'V3' };
const FILTERS = 'type.googleapis.com/envoy.extensions.filters';
const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
const loopback = (port) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const nameOf = (index) => `outbound|80||service-${index}.default.svc.cluster.local`;

function resources(listenPort) {
  const indexes = Array.from({ length: SERVICES }, (_, index) => index);
  const clusters = indexes.map((index) => ({
    name: nameOf(index),
    type: 'EDS',
    connect_timeout: '10s',
    lb_policy: 'LEAST_REQUEST',
    eds_cluster_config: { eds_config: ADS },
  }));
  const endpoints = indexes.map((index) => ({
    cluster_name: nameOf(index),
    endpoints: [{ lb_endpoints: [8080, 8081].map((port) => ({ endpoint: { address: loopback(port) } })) }],
  }));
  const retryPolicy = { retry_on: 'connect-failure,unavailable', num_retries: 2 };
  const hosts = indexes.map((index) => {
    const route = { cluster: nameOf(index), timeout: '0s', retry_policy: retryPolicy };
    const headers = [{ name: 'end-user', string_match: { exact: 'jason' } }];
    return {
      name: `service-${index}`,
      domains: [`service-${index}`, `service-${index}.default`],
      routes: [
        { match: { prefix: '/', headers }, route },
        { match: { prefix: '/' }, route },
      ],
    };
  });
  const listener = {
    name: 'outbound',
    address: loopback(listenPort),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': `${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`,
              stat_prefix: 'outbound',
              rds: { route_config_name: '80', config_source: ADS },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': `${FILTERS}.http.router.v3.Router` },
                },
              ],
            },
          },
        ],
      },
    ],
  };
  const packed = (schema, list, name) =>
    new Map(list.map((json) => [name(json), { version: '1', any: packAny(schema, fromEnvoyJson(schema, json)) }]));
  return new Map([
    [TYPE_URL.cluster, packed(ClusterSchema, clusters, ({ name }) => name)],
    [TYPE_URL.endpoint, packed(ClusterLoadAssignmentSchema, endpoints, (one) => one.cluster_name)],
    [TYPE_URL.listener, packed(ListenerSchema, [listener], ({ name }) => name)],
    [TYPE_URL.route, packed(RouteConfigurationSchema, [{ name: '80', virtual_hosts: hosts }], ({ name }) => name)],
  ]);
}

function bootstrap(controlPort, adminPort) {
  return {
    node: { id: 'sidecar~127.0.0.1~training.default~default.svc.cluster.local', cluster: 'training.default' },
    admin: { address: loopback(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: 'DELTA_GRPC',
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      lds_config: ADS,
      cds_config: ADS,
    },
    static_resources: {
      clusters: [
        {
          name: 'xds-grpc',
          type: 'STATIC',
          connect_timeout: '1s',
          typed_extension_protocol_options: {
            [HTTP_OPTIONS]: {
              '@type': `type.googleapis.com/${HTTP_OPTIONS}`,
              explicit_http_config: { http2_protocol_options: {} },
            },
          },
          load_assignment: {
            cluster_name: 'xds-grpc',
            endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(controlPort) } }] }],
          },
        },
      ],
    },
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function isReady(adminPort) {
  try {
    return (await fetch(`http://127.0.0.1:${adminPort}/ready`)).status === 200;
  } catch {
    return false; // it does not listen yet
  }
}

/** Starts `command` with a configuration, asks it for what a probe and a scrape ask, and ends it. @throws if it is never ready */
export async function train([node, ...command]) {
  const snapshot = { version: '1', resources: resources(await freePort()) };
  const ads = createAdsService({
    types: ENVOY_SERVED_TYPES,
    authorize: () => undefined,
    source: { open: () => ({ current: () => snapshot, close: () => {} }) },
  });
  const server = new Server();
  server.addService(ads.definition, ads.implementation);
  const controlPort = await new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  const directory = mkdtempSync(join(tmpdir(), 'lateen-training-'));
  const adminPort = await freePort();
  const path = join(directory, 'bootstrap.json');
  writeFileSync(path, JSON.stringify(bootstrap(controlPort, adminPort)));
  const args = ['--config-path', path, '--state-dir', join(directory, 'state'), '--log-level', 'warn'];
  const child = spawn(node, [...command, ...args], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  try {
    const deadlineMs = Date.now() + LIMIT_MS;
    while (!(await isReady(adminPort))) {
      if (child.exitCode !== null || Date.now() > deadlineMs) throw new Error('the sidecar did not become ready');
      await delay(POLL_MS);
    }
    await fetch(`http://127.0.0.1:${adminPort}/stats/prometheus`);
    child.kill('SIGTERM');
    await ended;
  } finally {
    child.kill('SIGKILL');
    await ended;
    ads.close();
    server.forceShutdown();
    rmSync(directory, { recursive: true, force: true });
  }
}
