// Tests: the smallest proxy, one listener in front of one upstream, with its requests logged.

import {
  anyHost,
  cluster,
  connectionManager,
  dataPlaneConfig,
  endpointOf,
  listener,
  toCluster,
} from './envoy-config.js';
import { type ProxyFixture, requestLog, startProxy, startUpstream } from './proxy-fixture.js';
import type { RawUpstream } from './raw-peers.js';

/** Turns the access log on; the sink is the fixture's. */
export const ACCESS_LOG = {
  access_log: [
    {
      name: 'stdout',
      typed_config: { '@type': 'type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog' },
    },
  ],
};

export interface OneCluster {
  readonly proxy: ProxyFixture;
  readonly upstream: RawUpstream;
  readonly log: ReturnType<typeof requestLog>['requests'];
}

/** One listener that routes everything to one cluster with one upstream, unless the options say otherwise. */
export async function startOneCluster(
  options: { route?: object; hcm?: object; cluster?: object; routes?: readonly Record<string, unknown>[] } = {},
): Promise<OneCluster> {
  const upstream = await startUpstream();
  const { requests, options: logging } = requestLog();
  const routes = options.routes ?? [toCluster('c', options.route as Record<string, unknown>)];
  const hcm = connectionManager(anyHost(...routes), { ...ACCESS_LOG, ...options.hcm });
  const config = dataPlaneConfig(
    [listener('l', [{ filters: [hcm] }])],
    [cluster('c', [endpointOf(upstream.port)], options.cluster as Record<string, unknown>)],
  );
  return { proxy: await startProxy(config, logging), upstream, log: requests };
}
