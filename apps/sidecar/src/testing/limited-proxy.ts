// Tests: a proxy whose chain asks a rate limit service, which answers as it is told, in front of an application.

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, onTestFinished } from 'vitest';
import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  httpOptions,
  listener,
  testNode,
  toCluster,
} from './envoy-config.js';
import { type RequestParts, ask as send, startHelloApp } from './hello-app.js';
import { startLimitServer } from './limit-server.js';
import { ACCESS_LOG } from './one-cluster.js';
import { requestLog, startProxy } from './proxy-fixture.js';

export type Json = Record<string, unknown>;

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

export const FILTERS = 'type.googleapis.com/envoy.extensions.filters.http';
const SERVICE = { grpc_service: { envoy_grpc: { cluster_name: 'limits' } }, transport_api_version: 'V3' };
export const filter = (extra: Json = {}, name = 'limits'): Json => {
  const type = `${FILTERS}.ratelimit.v3.RateLimit`;
  return {
    name,
    typed_config: { '@type': type, domain: 'shop', timeout: '5s', rate_limit_service: SERVICE, ...extra },
  };
};
export const fault = (config: Json) => ({
  name: 'f',
  typed_config: { '@type': `${FILTERS}.fault.v3.HTTPFault`, ...config },
});
export const perRoute = (config: Json) => ({
  typed_per_filter_config: { limits: { '@type': `${FILTERS}.ratelimit.v3.RateLimitPerRoute`, ...config } },
});
export const key = (value: string, stage = 0) => ({ stage, actions: [{ generic_key: { descriptor_value: value } }] });

const HTTP_2 = httpOptions({ explicit_http_config: { http2_protocol_options: {} } });
export const ALL = { percentage: { numerator: 100 } };

export async function startLimitedProxy(routes: Json, filters: readonly Json[] = [filter()], hcm: Json = {}) {
  const limits = await startLimitServer();
  cleanups.push(() => limits.stop());
  const app = await startHelloApp();
  const { received } = app;
  cleanups.push(app.stop);
  const { requests: log, options } = requestLog();
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(routes, { ...ACCESS_LOG, ...hcm }, filters)] }])],
    [
      cluster('app', [endpointOf(app.port)]),
      cluster('limits', [endpointOf(limits.port)], HTTP_2),
      cluster('empty', [], HTTP_2),
    ],
  );
  const node = { ...testNode(), cluster: 'own' };
  const proxy = await startProxy(config, { ...options, node });
  const ask = (...request: RequestParts) => send(proxy.port(), ...request);
  const counts = () => proxy.dataPlane.limitServices()[0];
  return { limits, proxy, log, ask, received, counts };
}

/**
 * A proxy that asks the service at a port, which is the test's own, about every request to an application that says hello.
 * @param limits fields of the service's cluster
 * @param secrets of the proxy
 */
export async function startAskingProxy(
  port: number,
  limits: Json = {},
  secrets?: Parameters<typeof dataPlaneConfig>[2],
): Promise<Awaited<ReturnType<typeof startProxy>>> {
  const app = createServer((_request, response) => response.end('hello'));
  await new Promise<void>((resolve) => app.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void app.close().closeAllConnections());
  const routes = anyHost(toCluster('app', { rate_limits: [key('one')] }));
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [connectionManager(routes, {}, [filter()])] }])],
    [
      cluster('app', [endpointOf((app.address() as AddressInfo).port)]),
      cluster('limits', [endpointOf(port)], { ...HTTP_2, ...limits }),
    ],
    secrets,
  );
  return startProxy(config);
}

/** Routes of one virtual host. */
export const host = (hostFields: Json, ...routes: readonly Json[]) => ({
  virtual_hosts: [{ name: 'all', domains: ['*'], ...hostFields, routes }],
});
