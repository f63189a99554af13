// Workload groups: who is registered, as what, for how long, and what a restart remembers.

import { mkdtempSync, readFileSync, rmSync, watch } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { JsonObject } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import { type ConfigObject, parseDocuments } from '@lateen/istio-config';
import { createLogger } from '@lateen/telemetry';
import { type ProxyNode, parseProxyNode } from '@lateen/translate';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Registrations } from './registrations.js';

const GROUP = `
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: { name: vms, namespace: default }
spec:
  metadata: { labels: { app: vm, from: metadata }, annotations: { owner: me } }
  template: { serviceAccount: vm, labels: { version: v1, from: template }, ports: { http: 8080 }, weight: 3, locality: a/b }
`;

const parsed = (text: string) =>
  parseDocuments([{ name: 'in.yaml', content: text }], { defaultNamespace: 'default' }).objects;

let directory: string;
let configs: readonly ConfigObject[];
let changes: number;
const opened: Registrations[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-registrations-'));
  configs = parsed(GROUP);
  changes = 0;
});

afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(opened.splice(0).map((each) => each.close()));
  rmSync(directory, { recursive: true, force: true });
});

async function open(graceMs = 60_000, maxRegistrations?: number): Promise<Registrations> {
  const registrations = await Registrations.open({
    file: join(directory, 'registered.json'),
    graceMs,
    ...(maxRegistrations === undefined ? {} : { maxRegistrations }),
    configs: () => configs,
    podAt: (address) => (address === '127.9.9.9' ? 'somebody-0' : undefined),
    logger: createLogger('test', 'silent'),
    onChange: () => {
      changes += 1;
    },
  });
  opened.push(registrations);
  return registrations;
}

function proxy(metadata: JsonObject = {}, address = '127.1.1.1', account = 'vm'): ProxyNode {
  const id = `sidecar~${address}~vm-1.default~default.svc.cluster.local`;
  const all = { SERVICE_ACCOUNT: account, AUTO_REGISTER_GROUP: 'vms', ...metadata };
  const result = parseProxyNode(create(NodeSchema, { id, metadata: all }));
  if (!result.ok) throw new Error(result.errors.join());
  return result.proxy;
}

const PROBED = { PROXY_CONFIG: { readinessProbe: { tcpSocket: { port: 1 } } } };
const health = (registrations: Registrations) =>
  registrations.entries(configs).map(({ metadata }) => metadata.annotations['lateen.io/healthy']);

test('a workload becomes a WorkloadEntry of its group: its own labels before those of the metadata and the template', async () => {
  const registrations = await open();
  expect(registrations.admit(proxy())).toBeUndefined();
  registrations.connect('1', proxy({ LABELS: { app: 'own' } }), 'x/y/z');
  const [entry, ...others] = registrations.entries(configs);
  expect(others).toEqual([]);
  expect(entry?.metadata).toMatchObject({
    name: 'vms-127.1.1.1',
    namespace: 'default',
    labels: { app: 'own', from: 'metadata', version: 'v1' },
    annotations: { owner: 'me', 'istio.io/autoRegistrationGroup': 'vms', 'lateen.io/healthy': 'true' },
  });
  expect(entry?.spec).toMatchObject({
    address: '127.1.1.1',
    serviceAccount: 'vm',
    ports: { http: 8080 },
    weight: 3,
    locality: 'x/y/z',
  });
  expect(registrations.admit(proxy({ AUTO_REGISTER_GROUP: '' }))).toBeUndefined();
});

test.each([
  ['no group', proxy({ AUTO_REGISTER_GROUP: 'others' }), 'there is no WorkloadGroup others in namespace default'],
  [
    'another account',
    proxy({}, '127.1.1.1', 'thief'),
    'have the service account "vm", and the certificate is of "thief"',
  ],
  ["a pod's address", proxy({}, '127.9.9.9'), 'the address 127.9.9.9 belongs to the pod somebody-0'],
])('is refused: %s', async (_, node, message) => {
  expect((await open()).admit(node)?.refused).toContain(message);
});

test('a workload whose proxy probes it counts once it is well, and never without its group', async () => {
  const registrations = await open();
  registrations.connect('1', proxy(PROBED), '');
  expect(health(registrations)).toEqual(['false']);
  registrations.report('1', undefined);
  expect(health(registrations)).toEqual(['true']);
  const before = changes;
  registrations.report('1', undefined);
  expect(changes).toBe(before);
  registrations.report('1', 'too hot');
  expect(health(registrations)).toEqual(['false']);
  registrations.report('another stream', undefined);
  expect(health(registrations)).toEqual(['false']);
  expect(registrations.entries([])).toEqual([]);
  expect(registrations.entries(parsed(GROUP.replace('serviceAccount: vm', 'serviceAccount: other')))).toEqual([]);
  const own =
    'apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: { name: vms-127.1.1.1 }\nspec: { address: 1.2.3.4 }\n';
  expect(registrations.entries([...configs, ...parsed(own)])).toEqual([]);
});

test('a workload stays for the grace period after its stream, with its health, and not longer', async () => {
  const registrations = await open(10_000);
  vi.useFakeTimers();
  registrations.connect('1', proxy(PROBED), '');
  registrations.report('1', undefined);
  registrations.connect('2', proxy(PROBED), '');
  // The older of two streams of one workload ends.
  registrations.disconnect('1');
  vi.advanceTimersByTime(60_000);
  expect(health(registrations)).toEqual(['true']);
  registrations.disconnect('2');
  vi.advanceTimersByTime(9_000);
  registrations.connect('3', proxy(PROBED), '');
  vi.advanceTimersByTime(60_000);
  expect(health(registrations)).toEqual(['true']);
  registrations.disconnect('3');
  vi.advanceTimersByTime(10_000);
  expect(health(registrations)).toEqual([]);
});

test('a restart remembers who was there and how it was, for the grace period', async () => {
  const registrations = await open();
  registrations.connect('1', proxy(PROBED), '');
  registrations.report('1', undefined);
  await registrations.close();
  vi.useFakeTimers();
  const restarted = await open(10_000);
  expect(health(restarted)).toEqual(['true']);
  vi.advanceTimersByTime(10_000);
  expect(health(restarted)).toEqual([]);
});

test('where all places are taken, who has one may come back, and nobody else may come', async () => {
  const registrations = await open(60_000, 1);
  registrations.connect('1', proxy(), '');
  expect(registrations.admit(proxy())).toBeUndefined();
  expect(registrations.admit(proxy({}, '127.1.1.2'))?.refused).toBe('1 workloads are registered already');
});

test('many that come at once are stored together, and closing stores what is new', async () => {
  const registrations = await open();
  const file = join(directory, 'registered.json');
  let writes = 0;
  const watcher = watch(directory, (_event, name) => {
    if (name === 'registered.json') writes += 1;
  });
  const connect = (number: number) => {
    const address = `127.2.${number >> 8}.${number & 255}`;
    registrations.connect(String(number), proxy({}, address), '');
  };
  for (let number = 0; number < 500; number++) connect(number);
  await vi.waitFor(() => expect(writes).toBeGreaterThan(0));
  connect(500);
  await registrations.close();
  expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveLength(501);
  await vi.waitFor(() => expect(writes).toBeGreaterThan(1));
  watcher.close();
  expect(writes).toBeLessThan(6);
});
