// Milliseconds to make the registry of a cluster and its snapshot, and to translate for all of its proxies: cold, and after one
// endpoint changed: `node bench/registry-bench.mjs [services] [pods of each]`. Build first.

import { buildSnapshot, namedCredentials, parseProxyNode, resolveProxyView, TranslationCache } from '@lateen/translate';
import { RegistryBuilder } from '../build/kubernetes/build-registry.js';

const [services = 200, podsEach = 10] = process.argv.slice(2).map(Number);
const ROUNDS = 5;
const numbers = [...Array(services).keys()];

function podsOf(service) {
  return [...Array(podsEach).keys()].map((pod) => ({
    name: `app-${service}-${pod}`,
    ip: `10.${service >> 8}.${service & 255}.${pod}`,
  }));
}

function service(number) {
  const address = `10.96.${number >> 8}.${number & 255}`;
  return {
    metadata: { name: `app-${number}`, namespace: 'shop' },
    spec: {
      clusterIP: address,
      clusterIPs: [address],
      selector: { app: `app-${number}` },
      ports: [{ name: 'http', port: 80, targetPort: 'web' }],
    },
  };
}

function slice(number) {
  return {
    metadata: { name: `app-${number}-x`, namespace: 'shop', labels: { 'kubernetes.io/service-name': `app-${number}` } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: podsOf(number).map(({ name, ip }) => ({
      addresses: [ip],
      conditions: { ready: true },
      targetRef: { kind: 'Pod', namespace: 'shop', name },
    })),
  };
}

function pod(number, { name, ip }) {
  return {
    metadata: { name, namespace: 'shop', labels: { app: `app-${number}`, 'security.istio.io/tlsMode': 'istio' } },
    spec: {
      nodeName: 'node-1',
      serviceAccountName: `app-${number}`,
      containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 8080 }] }],
    },
    status: { phase: 'Running', podIPs: [{ ip }], conditions: [{ type: 'Ready', status: 'True' }] },
  };
}

function proxyOf({ name, ip }, account) {
  const metadata = { SERVICE_ACCOUNT: account, LATEEN_VERSION: '1', INTERCEPTION_MODE: 'REDIRECT' };
  const parsed = parseProxyNode({ id: `sidecar~${ip}~${name}.shop~shop.svc.cluster.local`, metadata });
  if (!parsed.ok) throw new Error(parsed.errors.join());
  return parsed.proxy;
}

let objects = {
  namespaces: [{ metadata: { name: 'shop' } }],
  nodes: [{ metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'z1' } } }],
  services: numbers.map(service),
  endpointSlices: numbers.map(slice),
  pods: numbers.flatMap((number) => podsOf(number).map((each) => pod(number, each))),
};
const proxies = numbers.flatMap((number) => podsOf(number).map((each) => proxyOf(each, `app-${number}`)));
const builder = new RegistryBuilder();
const cache = new TranslationCache();

function timed(times, what, work) {
  const startedMs = performance.now();
  const result = work();
  times[what] = Math.round((performance.now() - startedMs) * 10) / 10;
  return result;
}

function round(name) {
  const times = {};
  const registry = timed(times, 'registry', () => builder.build(objects));
  const mesh = timed(times, 'snapshot', () => buildSnapshot({ ...registry, credentials: [], configs: [] }));
  timed(times, 'named Secrets', () => namedCredentials(mesh));
  cache.startGeneration();
  const [first, ...others] = proxies;
  timed(times, 'first proxy', () => cache.translate(resolveProxyView(mesh, first, true)));
  timed(times, `${others.length} other proxies`, () => {
    for (const proxy of others) cache.translate(resolveProxyView(mesh, proxy, true));
  });
  console.log(name, times);
}

round('cold');
for (let count = 0; count < ROUNDS; count += 1) {
  const [changed, ...rest] = objects.endpointSlices;
  const [endpoint, ...kept] = changed.endpoints;
  const endpoints = [{ ...endpoint, conditions: { ready: count % 2 === 1 } }, ...kept];
  objects = { ...objects, endpointSlices: [{ ...changed, endpoints }, ...rest] };
  round('one endpoint');
}
