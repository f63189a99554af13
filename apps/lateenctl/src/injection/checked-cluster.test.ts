// `check-inject` of a cluster (an HTTP server that plays the API server's protocol): what is asked, and what is said.
import { injectionWebhooks } from '@lateen/injection';
import { resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readCheckedCluster } from './checked-cluster.js';
import { checkedPodsText, checkPods } from './checked-pods.js';

let server: FakeApiServer;
let warnings: string[];

beforeEach(async () => {
  server = await FakeApiServer.start();
  warnings = [];
  const webhooks = [injectionWebhooks(), injectionWebhooks({ revision: 'canary' })];
  for (const each of webhooks) server.put(resourceTypes.mutatingWebhooks, each as never);
  namespace('shop', { 'istio-injection': 'enabled' });
  namespace('new', { 'istio.io/rev': 'canary' });
});
afterEach(() => server.stop());

function namespace(name: string, labels: Record<string, string>): void {
  server.put(resourceTypes.namespaces, { metadata: { name, labels } });
}

function pod(name: string, ns: string, labels: Record<string, string>, containers: string[]): void {
  const spec = { containers: containers.map((each) => ({ name: each, image: 'x' })) };
  server.put(resourceTypes.pods, { metadata: { name, namespace: ns, labels }, spec } as never);
}

async function check(choice: Parameters<typeof readCheckedCluster>[1]) {
  const warn = (text: string) => warnings.push(text);
  const { pods, mesh } = await readCheckedCluster(server.client(), choice, warn);
  return checkPods(pods, mesh, warn);
}

test('says for each pod of a namespace whether it would be injected and whether it has a proxy', async () => {
  pod('old', 'shop', { app: 'old' }, ['web']);
  pod('fine', 'shop', { app: 'fine' }, ['web', 'istio-proxy']);
  pod('out', 'shop', { 'sidecar.istio.io/inject': 'false' }, ['web', 'istio-proxy']);
  const checked = await check({ namespace: 'shop' });
  expect(checked.map(({ name, injected, hasProxy, code }) => [name, injected, hasProxy, code])).toEqual([
    ['fine', true, true, 'namespace-label'],
    ['old', true, false, 'namespace-label'],
    ['out', false, true, 'pod-opted-out'],
  ]);
  const text = checkedPodsText(checked, true);
  expect(text).toMatch(/^NAME +NAMESPACE +INJECTED +HAS PROXY +REVISION/);
  expect(text).toMatch(/old .*restart it to get its proxy/);
  expect(text).toMatch(/out .*restart it to be without/);
});

test('chooses by name, by labels, or all namespaces', async () => {
  pod('a', 'shop', { app: 'a' }, ['web']);
  pod('b', 'new', { app: 'b' }, ['web']);
  expect((await check({ namespace: 'new', name: 'b' })).map(({ name, revision }) => [name, revision])).toEqual([
    ['b', 'canary'],
  ]);
  expect((await check({ namespace: undefined, selector: 'app=a' })).map(({ name }) => name)).toEqual(['a']);
  expect((await check({ namespace: undefined })).map(({ name }) => name).sort()).toEqual(['a', 'b']);
  await expect(check({ namespace: 'shop', name: 'b' })).rejects.toThrow('there is no pod b in namespace shop');
});

test('goes by the rules of the revision that is asked; where they may not be read, or are wrong, it says so', async () => {
  pod('b', 'new', { app: 'b' }, ['web']);
  const data = { config: 'policy: disabled\ntemplates: { sidecar: {} }' };
  const put = (changed: Record<string, string>) =>
    server.put(resourceTypes.configMaps, {
      metadata: { name: 'istio-sidecar-injector-canary', namespace: 'istio-system' },
      data: changed,
    });
  put(data);
  expect(await check({ namespace: 'new' })).toMatchObject([{ injected: false, code: 'policy-disabled' }]);
  put({ config: 'policy: perhaps' });
  expect(await check({ namespace: 'new' })).toMatchObject([{ injected: true }]);
  expect(warnings.join()).toContain('istio-sidecar-injector-canary is wrong: config.policy');
  server.intercept = (_request, response, url) => {
    if (!url.pathname.includes('/configmaps/')) return false;
    const status = { kind: 'Status', status: 'Failure', reason: 'Forbidden', code: 403, message: 'no' };
    response.writeHead(403, { 'content-type': 'application/json' }).end(JSON.stringify(status));
    return true;
  };
  expect(await check({ namespace: 'new' })).toMatchObject([{ injected: true }]);
  expect(warnings.join()).toContain('may not be read');
});
