// Injection in Galley: the ConfigMap is followed and the last good one stays; pods are answered about by what is in force.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AdmissionReview, Pod } from '@lateen/injection';
import { resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { createLogger } from '@lateen/telemetry';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ConfigStore } from '../store/config-store.js';
import { MESH_CONFIG } from '../store/stored-resource.js';
import { type Injection, startInjection } from './start-injection.js';

const NAMESPACE = 'istio-system';
let server: FakeApiServer;
let folder: string;
let store: ConfigStore;
let registry: Registry;
let injection: Injection | undefined;

beforeEach(async () => {
  server = await FakeApiServer.start();
  folder = await mkdtemp(join(tmpdir(), 'lateen-injection-'));
  store = await ConfigStore.open({ stateDir: folder, onFatal: (error) => expect.unreachable(error.message) });
  registry = new Registry();
});
afterEach(async () => {
  await injection?.stop();
  injection = undefined;
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

function start(revision = 'default', minor = '31'): Injection {
  server.intercept = (_request, response, url) => {
    if (url.pathname !== '/version') return false;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ major: '1', minor }));
    return true;
  };
  const logger = createLogger('galley', 'silent');
  const client = server.client();
  injection = startInjection({
    client,
    namespace: NAMESPACE,
    revision,
    store,
    version: '9.9.9',
    registry,
    logger,
  });
  return injection;
}

const configMap = (name: string, data: Record<string, string>) =>
  server.put(resourceTypes.configMaps, { metadata: { name, namespace: NAMESPACE }, data });

const reviewOf = (pod: Pod): AdmissionReview => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u', namespace: 'shop', resource: { group: '', version: 'v1', resource: 'pods' }, object: pod },
});
const web = (more: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'web' },
  spec: { containers: [{ name: 'web' }] },
  ...more,
});

interface Answer {
  readonly response: { readonly allowed: boolean; readonly patch?: string; readonly warnings?: string[] };
}

async function ask(pod: Pod = web()): Promise<Answer['response'] & { readonly patchText: string }> {
  const { response } = (await injection!.handler(reviewOf(pod))) as Answer;
  return { ...response, patchText: Buffer.from(response.patch ?? '', 'base64').toString() };
}

async function countOf(name: string): Promise<number> {
  const metric = await registry.getSingleMetric(`sidecar_injection_${name}_total`)!.get();
  return metric.values[0]?.value ?? 0;
}

test('injects by the defaults without a ConfigMap, with the image of the release, natively', async () => {
  start();
  const { allowed, patchText } = await ask();
  expect(allowed).toBe(true);
  expect(patchText).toContain('lateen/sidecar:9.9.9');
  expect(patchText).toContain('"restartPolicy":"Always"');
  expect(injection!.status()).toEqual({ configMap: 'istio-sidecar-injector', isThere: false, problems: [] });
});

test('an API server before 1.29 gets a container beside the application', async () => {
  start('default', '28');
  expect((await ask()).patchText).not.toContain('restartPolicy');
});

test('follows the ConfigMap of its revision; one that is wrong leaves the last good one in force', async () => {
  configMap('istio-sidecar-injector', { values: 'global: { hub: other }' });
  configMap('istio-sidecar-injector-canary', { values: 'global: { hub: first, tag: "1" }' });
  start('canary');
  expect((await ask()).patchText).toContain('first/sidecar:1');
  expect((await ask()).patchText).toContain('pilot-canary.istio-system.svc:15012');
  configMap('istio-sidecar-injector-canary', { config: 'templates: { sidecar: { spec: { x: { $eval: nothing } } } }' });
  await expect.poll(() => injection!.status().problems.join()).toContain('template sidecar');
  expect((await ask()).patchText).toContain('first/sidecar:1');
  configMap('istio-sidecar-injector-canary', { values: 'global: { hub: second, tag: "2" }' });
  await expect.poll(async () => (await ask()).patchText).toContain('second/sidecar:2');
  expect(injection!.status().problems).toEqual([]);
});

test('proxies are started by the MeshConfig and the ProxyConfigs that are in force', async () => {
  start();
  const common = {
    labels: {},
    annotations: {},
    source: { file: 'x', line: 1, column: 1 },
    origin: 'kubernetes',
  } as const;
  const spec = { trustDomain: 'example.org', defaultConfig: { concurrency: 2 } };
  const proxyConfig = { concurrency: 3, environmentVariables: { A: 'b' } };
  await store.transact(() => ({
    change: {
      put: [
        { ...common, ...MESH_CONFIG, spec },
        {
          ...common,
          apiVersion: 'networking.istio.io/v1beta1',
          kind: 'ProxyConfig',
          namespace: 'shop',
          name: 'p',
          spec: proxyConfig,
        },
      ],
      remove: [],
    },
    result: undefined,
  }));
  const { patchText } = await ask();
  expect(patchText).toContain('example.org');
  expect(patchText).toContain(
    JSON.stringify(JSON.stringify({ concurrency: 3, proxyMetadata: { A: 'b' } })).slice(1, -1),
  );
});

test('counts what was asked, injected, left out and refused, and says why in words', async () => {
  start();
  await ask();
  const left = await ask(web({ spec: { hostNetwork: true, containers: [{ name: 'web' }] } }));
  expect(left).toMatchObject({ allowed: true, warnings: [expect.stringContaining('hostNetwork')] });
  const refused = await ask(web({ metadata: { annotations: { 'sidecar.istio.io/proxyCPU': 'lots' } } }));
  expect(refused).toMatchObject({ allowed: false, status: { message: expect.stringContaining('proxyCPU') } });
  expect(await Promise.all(['requests', 'success', 'skip', 'failure'].map(countOf))).toEqual([3, 1, 1, 1]);
});
