// Tests: a proxy whose chain asks an authorizer, which answers as it is told, in front of an application.

import { createServer, type IncomingHttpHeaders, type IncomingMessage, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
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

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

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
  const received: { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[] = [];
  const app = createServer(async (request, response) => {
    received.push({ path: request.url ?? '', headers: request.headers, body: await textOf(request) });
    response.setHeader('x-app', 'yes');
    response.end('hello');
  });
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => app.close().closeAllConnections());
  const { requests: log, options } = requestLog();
  const appPort = (app.address() as AddressInfo).port;
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(routes, { ...ACCESS_LOG, ...hcm }, filters)] }])],
    [
      cluster('app', [endpointOf(appPort)]),
      cluster('other', [endpointOf(appPort)]),
      cluster('grpc-authorizer', [endpointOf(grpc.port)], HTTP_2),
      cluster('http-authorizer', [endpointOf(http.port)]),
      cluster('empty', [], HTTP_2),
    ],
  );
  const proxy = await startProxy(config, options);
  const ask = (path = '/', headers: Record<string, string | string[]> = {}, body = ''): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const method = body === '' ? 'GET' : 'POST';
      const options = { host: '127.0.0.1', port: proxy.port(), path, method, agent: false as const, headers };
      send(options, async (response) => {
        const { statusCode: status = 0, headers: answered } = response;
        resolve({ status, headers: answered, body: await textOf(response) });
      })
        .on('error', reject)
        .end(body);
    });
  const counts = () => proxy.dataPlane.authorizers()[0];
  return { grpc, http, proxy, log, ask, received, counts };
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of message) text += chunk;
  return text;
}
