// Tables that are refused: what they took is given back.

import { fromJson, type JsonValue } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { expect, it } from 'vitest';
import { formatProblem } from './compile/problems.js';
import * as L from './layout.js';
import { createTestCore } from './reference/test-core.js';
import { createTables } from './tables.js';

const HOUR_MS = 3_600_000;

function withEndpoints(name: string, count: number) {
  const lbEndpoints = Array.from({ length: count }, (_, index) => ({
    endpoint: { address: { socketAddress: { address: '10.0.0.1', portValue: index + 1 } } },
  }));
  const loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints }] };
  return { cluster: fromJson(ClusterSchema, { name, type: 'STATIC', loadAssignment }) };
}

function routesTo(cluster: string, more: { [key: string]: JsonValue } = {}) {
  const routes = [{ match: { prefix: '/' }, route: { cluster } }];
  return fromJson(RouteConfigurationSchema, {
    name: 'r',
    virtualHosts: [{ name: 'v', domains: ['*'], routes }],
    ...more,
  });
}

it('keeps no slots: many refusals leave room for what is right', () => {
  const { core, wasm } = createTestCore();
  const tables = createTables(core);
  const kept = withEndpoints('kept', 10);
  const use = (cluster: string, clusters: ReturnType<typeof withEndpoints>[], nowMs: number) => {
    expect(tables.compile({ routeConfigurations: [routesTo(cluster)], clusters, nowMs }).problems).toEqual([]);
    tables.activate();
  };
  use('kept', [kept], 0);
  const rounds = Math.ceil(L.ENDPOINT_SLOT_COUNT / 2000) + 2;
  for (let round = 1; round <= rounds; round++) {
    const clusters = [kept, withEndpoints(`other-${round}`, 2000)];
    const bad = routesTo(`other-${round}`, { vhds: { configSource: {} } });
    const result = tables.compile({ routeConfigurations: [bad], clusters, nowMs: round * HOUR_MS });
    expect(result.problems.map(formatProblem)).toEqual(['RouteConfiguration r: vhds is not supported']);
  }
  expect(wasm.pick(tables.clusterSlot('kept'), 0, 1)).toBeGreaterThanOrEqual(0);
  use('new', [kept, withEndpoints('new', 2000)], (rounds + 1) * HOUR_MS);
});
