// Nanoseconds of one decision in a virtual host of N routes, by the kind of their paths: `node bench/routes-bench.mjs [routes]` after a
// build. The requests go to a route in the middle, to the last one, and to none.
import { fromJson } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import * as C from '../dist/index.js';
import { LISTENER_OPTIONS } from './listener-options.mjs';

const MANY = Number(process.argv[2] ?? 10_000);
const CALLS = 20_000;
const ROUNDS = 7;
const KINDS = {
  exact: (index) => ({ path: `/api/v1/service-${index}/resources` }),
  prefix: (index) => ({ prefix: `/api/v1/service-${index}/` }),
  regex: (index) => ({ safeRegex: { regex: `/api/v1/service-${index}/[a-z]+` } }),
};
const core = C.createCore({ seed: [1, 2] });
const tables = C.createTables(core);
const cluster = {
  cluster: fromJson(ClusterSchema, { name: 'c', type: 'STATIC', loadAssignment: { clusterName: 'c' } }),
};
const options = C.internListenerOptions(core, LISTENER_OPTIONS, 0);

/** Median nanoseconds of parsing a request and routing it. */
function nanoseconds(slot, path) {
  const bytes = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
  const { wasm } = core;
  const taken = [];
  for (let round = 0; round < ROUNDS; round++) {
    const calls = taken.length === 0 ? CALLS / 10 : CALLS;
    const before = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) {
      core.bytes.set(bytes, C.READ_BUFFER);
      if (wasm.parseRequest(C.READ_BUFFER, bytes.length, 0, options, 0) !== bytes.length)
        throw new Error('not a request');
      wasm.route(slot, -1, 0);
    }
    taken.push(Number(process.hrtime.bigint() - before) / calls);
  }
  return taken.slice(1).sort((a, b) => a - b)[Math.floor((ROUNDS - 1) / 2)];
}

for (const [kind, match] of Object.entries(KINDS)) {
  const figures = [];
  for (const count of [10, MANY]) {
    const routes = Array.from({ length: count }, (_, index) => ({ match: match(index), route: { cluster: 'c' } }));
    const config = fromJson(RouteConfigurationSchema, {
      name: 'r',
      virtualHosts: [{ name: 'v', domains: ['*'], routes }],
    });
    const started = performance.now();
    const result = tables.compile({ routeConfigurations: [config], clusters: [cluster], nowMs: Date.now() });
    const compileMs = performance.now() - started;
    if (!result.ok) {
      console.log(`${kind}, ${count} routes: ${result.problems.slice(0, 1).map(C.formatProblem)}`);
      continue;
    }
    tables.activate();
    const slot = tables.routeConfigSlot('r');
    const at = (index) => nanoseconds(slot, `/api/v1/service-${index}/resources`);
    figures.push([at(count >> 1), at(count - 1), nanoseconds(slot, '/elsewhere')]);
    console.log(
      `${kind}, ${count} routes: middle ${figures.at(-1)[0].toFixed(0)} ns, last ${figures.at(-1)[1].toFixed(0)} ns, none ${figures.at(-1)[2].toFixed(0)} ns; compiled in ${compileMs.toFixed(0)} ms, ${result.bytes} bytes`,
    );
  }
}
