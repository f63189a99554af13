// CPU milliseconds to compile a large snapshot, fresh and with one resource changed: `node bench/compile-bench.mjs [services]`.
import { fromJson } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import * as C from '../dist/index.js';

const SERVICES = Number(process.argv[2] ?? 1000);
const ENDPOINTS = 10;
const CONFIGURATIONS = 20;

function cluster(index, endpoints = ENDPOINTS) {
  const name = `outbound|80||service-${index}.default.svc.cluster.local`;
  const lbEndpoints = Array.from({ length: endpoints }, (_, host) => ({
    endpoint: { address: { socketAddress: { address: `10.${index >> 8}.${index & 255}.${host}`, portValue: 80 } } },
    loadBalancingWeight: 1,
  }));
  const loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints }] };
  return { cluster: fromJson(ClusterSchema, { name, type: 'STATIC', lbPolicy: 'LEAST_REQUEST', loadAssignment }) };
}
function virtualHost(index) {
  const host = `service-${index}`;
  const action = {
    cluster: `outbound|80||${host}.default.svc.cluster.local`,
    timeout: '0s',
    retryPolicy: { retryOn: 'connect-failure,refused-stream,unavailable,cancelled', numRetries: 2 },
  };
  return {
    name: `${host}:80`,
    domains: [
      `${host}.default.svc.cluster.local`,
      host,
      `${host}.default.svc`,
      `${host}.default`,
      `10.9.${index >> 8}.${index & 255}`,
    ],
    includeRequestAttemptCount: true,
    routes: [
      { match: { prefix: '/', headers: [{ name: 'end-user', stringMatch: { exact: 'jason' } }] }, route: action },
      { match: { prefix: '/' }, route: action },
    ],
  };
}
const clusters = Array.from({ length: SERVICES }, (_, index) => cluster(index));
const routeConfigurations = Array.from({ length: CONFIGURATIONS }, (_, port) =>
  fromJson(RouteConfigurationSchema, {
    name: `${8000 + port}`,
    virtualHosts: Array.from({ length: SERVICES / CONFIGURATIONS }, (_, index) =>
      virtualHost(port * (SERVICES / CONFIGURATIONS) + index),
    ),
  }),
);
const core = C.createCore();
const tables = C.createTables(core);
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
function measure(label) {
  const start = cpuMs();
  const result = tables.compile({ routeConfigurations, clusters, nowMs: Date.now() });
  const compiled = cpuMs();
  if (!result.ok) throw new Error(result.problems.map(C.formatProblem).join('\n'));
  tables.activate();
  const end = cpuMs();
  console.log(
    `${label}: compile ${(compiled - start).toFixed(1)} ms, activate ${(end - compiled).toFixed(1)} ms, ${result.bytes} bytes, stable ${core.stable.usedBytes}`,
  );
}
measure(`${SERVICES} services, ${SERVICES * ENDPOINTS} endpoints, fresh`);
clusters[5] = cluster(5, ENDPOINTS - 1);
measure('one cluster changed');
for (let index = 0; index < clusters.length; index++) clusters[index] = cluster(index);
measure('all clusters changed');
console.log(`RSS ${(process.memoryUsage().rss / 1048576).toFixed(1)} MiB`);
