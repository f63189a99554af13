// CPU milliseconds to translate a mesh for all of its proxies as Pilot does: cold, after one endpoint changed, after one
// rule changed, and with one service more: `node bench/translate-bench.mjs [services] [proxies] [intercepted]`. Build
// first. With `intercepted` the proxies bind no addresses of services, as in a cluster.

import { create } from '@bufbuild/protobuf';
import { shortTypeName } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { buildSnapshot, parseProxyNode, resolveProxyView, TranslationCache } from '../dist/index.js';
import { meshOf, nodesOf, withChangedConfig, withoutEndpoint } from './mesh.mjs';

const SERVICES = Number(process.argv[2] ?? 1000);
const PROXIES = Number(process.argv[3] ?? 50);
const INTERCEPTED = process.argv[4] === 'intercepted';

const proxies = nodesOf(meshOf(SERVICES, PROXIES, !INTERCEPTED)).map((node) => {
  const parsed = parseProxyNode(create(NodeSchema, node));
  if (!parsed.ok) throw new Error(parsed.errors.join('; '));
  return parsed.proxy;
});
const cache = new TranslationCache();

/** Translates for every proxy and says what it cost. */
function measure(what, input) {
  const before = cache.counts;
  const startedMs = performance.now();
  const cpu = process.cpuUsage();
  const snapshot = buildSnapshot(input);
  const snapshotMs = performance.now() - startedMs;
  cache.startGeneration();
  for (const proxy of proxies) {
    const { faults } = cache.translate(resolveProxyView(snapshot, proxy));
    if (faults.length > 0) throw new Error(faults[0].message);
  }
  const wallMs = performance.now() - startedMs;
  const { user, system } = process.cpuUsage(cpu);
  const { counts } = cache;
  const built = [...counts.built].map(([type, count]) => `${shortTypeName(type)} ${count - before.built.get(type)}`);
  console.log(
    [
      what.padEnd(22),
      `${Math.round((user + system) / 1000)} ms CPU`.padEnd(14),
      `${Math.round(wallMs)} ms (snapshot ${Math.round(snapshotMs)})`.padEnd(26),
      `parts: ${counts.hits - before.hits} found, ${counts.misses - before.misses} made`.padEnd(32),
      `built: ${built.join(', ')}`.padEnd(48),
      `${Math.round(process.memoryUsage().rss / 2 ** 20)} MiB`,
    ].join(' '),
  );
}

// One change after another; each time all objects are new ones, as they are when Pilot has read them again.
let mesh = meshOf(SERVICES, PROXIES, !INTERCEPTED);
const changed = (next) => {
  mesh = structuredClone(next);
  return mesh;
};
measure('cold', mesh);
measure('nothing', changed(mesh));
measure('one endpoint', changed(withoutEndpoint(mesh)));
measure('one VirtualService', changed(withChangedConfig(mesh, 'VirtualService', withTimeout)));
measure('one DestinationRule', changed(withChangedConfig(mesh, 'DestinationRule', withPolicy)));
measure('one service more', changed({ ...meshOf(SERVICES + 1, PROXIES, !INTERCEPTED), configs: mesh.configs }));

function withTimeout(spec) {
  return { ...spec, http: spec.http.map((rule) => ({ ...rule, timeout: '3s' })) };
}

function withPolicy(spec) {
  return { ...spec, trafficPolicy: { loadBalancer: { simple: 'ROUND_ROBIN' } } };
}
