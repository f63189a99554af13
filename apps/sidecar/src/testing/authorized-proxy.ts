// Tests: a proxy whose chain asks an authorizer, which answers as it is told, in front of an application.

import { afterEach } from 'vitest';
import { startGrpcAuthorizer, startHttpAuthorizer } from './authorizer-server.js';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  toCluster,
} from './envoy-config.js';
import { type RequestParts, ask as send, startHelloApp } from './hello-app.js';
import { FILTERS, type Json } from './limited-proxy.js';
import { ACCESS_LOG } from './one-cluster.js';
import { requestLog, startProxy } from './proxy-fixture.js';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });

export const byGrpc = (extra: Json = {}, clusterName = 'grpc-authorizer'): Json => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': `${FILTERS}.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    grpc_service: { envoy_grpc: { cluster_name: clusterName, authority: 'authorizer' }, timeout: '20s' },
    ...extra,
  },
});

export const byHttp = (service: Json = {}, extra: Json = {}): Json => ({
  name: 'envoy.filters.http.ext_authz',
  typed_config: {
    '@type': `${FILTERS}.ext_authz.v3.ExtAuthz`,
    transport_api_version: 'V3',
    http_service: { server_uri: { uri: 'http://a', cluster: 'http-authorizer', timeout: '20s' }, ...service },
    ...extra,
  },
});

export async function startAuthorizedProxy(
  filters: readonly Json[],
  routes: Json = anyHost(toCluster('app')),
  hcm: Json = {},
) {
  const [grpc, http] = [await startGrpcAuthorizer(), await startHttpAuthorizer()];
  cleanups.push(
    () => grpc.stop(),
    () => http.stop(),
  );
  const app = await startHelloApp();
  const { received } = app;
  cleanups.push(app.stop);
  const { requests: log, options } = requestLog();
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(routes, { ...ACCESS_LOG, ...hcm }, filters)] }])],
    [
      cluster('app', [endpointOf(app.port)]),
      cluster('other', [endpointOf(app.port)]),
      cluster('grpc-authorizer', [endpointOf(grpc.port)], HTTP_2),
      cluster('http-authorizer', [endpointOf(http.port)]),
      cluster('empty', [], HTTP_2),
    ],
  );
  const proxy = await startProxy(config, options);
  const ask = (...request: RequestParts) => send(proxy.port(), ...request);
  const counts = () => proxy.dataPlane.authorizers()[0];
  return { grpc, http, proxy, log, ask, received, counts };
}
