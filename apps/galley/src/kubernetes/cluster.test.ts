// Whole Galleys in a cluster (an HTTP server that plays the API's protocol): who writes, what is written, what is left alone.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { formatSpiffeId, MtlsAgent, type StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { describeKind, ISTIO_KINDS, type IstioKind } from '@lateen/istio-config';
import { type CustomResource, type ResourceType, resourceTypes, type WebhookConfiguration } from '@lateen/kubernetes';
import { FakeApiServer, refuse } from '@lateen/kubernetes/testing';
import { createLogger } from '@lateen/telemetry';
import { ConfigAdmin } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { istioRules } from '../istio-rules.js';
import { type Galley, startGalley } from '../pipeline.js';
import type { KubernetesOptions } from './kubernetes-sources.js';
import type { ResourceStatus } from './resource-status.js';

let authority: TestAuthority;
let server: FakeApiServer;
let directory: string;
let source: StaticIdentity;
const closers: (() => Promise<unknown> | unknown)[] = [];

const typeOf = (kind: IstioKind): ResourceType<CustomResource<unknown, ResourceStatus>> => {
  const { group, versions, plural, namespaced } = describeKind(kind);
  return { group, version: versions[0]!, kind, plural, namespaced };
};
const virtualServices = typeOf('VirtualService');
const leaseTimes = { leaseDurationMs: 1_000, renewDeadlineMs: 600, retryPeriodMs: 50 };

beforeEach(async () => {
  authority = await TestAuthority.create();
  source = await authority.source({ namespace: 'istio-system', serviceAccount: 'galley' });
  directory = await mkdtemp(join(tmpdir(), 'lateen-galley-cluster-'));
  server = await FakeApiServer.start();
  for (const kind of ISTIO_KINDS) server.serve(typeOf(kind as IstioKind));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await server.stop();
  await rm(directory, { recursive: true });
});

async function start(podName = 'galley-1', options: Partial<KubernetesOptions> = {}): Promise<Galley> {
  const galley = await startGalley({
    address: '127.0.0.1',
    stateDir: join(directory, podName),
    xdsPort: 0,
    adminPort: 0,
    monitoringPort: 0,
    configDir: undefined,
    meshConfig: undefined,
    trustDomain: 'cluster.local',
    identity: source,
    rules: istioRules,
    version: 'test',
    logger: createLogger('galley', 'silent'),
    onFatal: (error) => {
      throw error;
    },
    kubernetes: {
      client: server.client(),
      namespace: 'istio-system',
      podName,
      revision: 'default',
      leaseTimes,
      ...options,
    },
  });
  closers.push(() => galley.stop());
  return galley;
}

const put = (timeout: string, name = 'reviews', changes: Partial<CustomResource<unknown, ResourceStatus>> = {}) =>
  server.put(virtualServices, {
    metadata: { name, namespace: 'shop' },
    spec: { hosts: ['reviews'], http: [{ timeout, route: [{ destination: { host: 'reviews' } }] }] },
    status: server.get(virtualServices, 'shop', name)?.status,
    ...changes,
  });
const statusOf = (name = 'reviews') => server.get(virtualServices, 'shop', name)?.status;
const accepted = (name = 'reviews') => statusOf(name)?.conditions?.find(({ type }) => type === 'Accepted');
const writes = (name: string) => server.requests.filter((line) => line === `PATCH ${pathOf(name)}`).length;
const pathOf = (name: string) => `/apis/networking.istio.io/v1/namespaces/shop/virtualservices/${name}/status`;

describe('statuses', () => {
  it('say whether a resource is in force, and what is wrong with it, until it is mended', async () => {
    put('1s');
    await start();
    await expect.poll(() => accepted()).toMatchObject({ status: 'True', reason: 'Valid', observedGeneration: 1 });
    expect(statusOf()).toMatchObject({ observedGeneration: 1 });
    const since = accepted()!.lastTransitionTime;
    expect(Date.parse(since!)).not.toBeNaN();
    put('5q');
    await expect.poll(() => accepted()?.status).toBe('False');
    expect(accepted()).toMatchObject({
      reason: 'Invalid',
      observedGeneration: 2,
      message: expect.stringMatching(/^the last good version of it stays in force: spec\.http\[0\]\.timeout: /),
    });
    expect(statusOf()?.validationMessages).toMatchObject([{ level: 'ERROR', type: { name: expect.any(String) } }]);
    put('2s');
    await expect.poll(() => accepted()?.status).toBe('True');
    expect(statusOf()).not.toHaveProperty('validationMessages');
  });

  it('are written once, do not take other conditions away, and wait for no change of their own', async () => {
    const reconciled = { type: 'Reconciled', status: 'True' as const };
    put('1s', 'reviews', { status: { conditions: [reconciled], other: 1 } });
    await start();
    await expect.poll(() => accepted()?.status).toBe('True');
    expect(statusOf()).toMatchObject({ conditions: [reconciled, { type: 'Accepted' }], other: 1 });
    // What comes after the first one's own event has come.
    put('1s', 'later');
    await expect.poll(() => accepted('later')?.status).toBe('True');
    put('1s', 'last');
    await expect.poll(() => accepted('last')?.status).toBe('True');
    expect(writes('reviews')).toBe(1);
  });

  it('warn of what leads nowhere, and no longer once it does', async () => {
    const http = [{ route: [{ destination: { host: 'reviews', subset: 'v2' } }] }];
    put('1s', 'reviews', { spec: { hosts: ['reviews'], http } });
    await start();
    await expect.poll(() => statusOf()?.validationMessages).toMatchObject([{ level: 'WARNING' }]);
    expect(accepted()?.status).toBe('True');
    server.put(typeOf('DestinationRule'), {
      metadata: { name: 'reviews', namespace: 'shop' },
      spec: { host: 'reviews', subsets: [{ name: 'v2', labels: { version: 'v2' } }] },
    });
    await expect.poll(() => statusOf()?.validationMessages).toBeUndefined();
  });

  it('survive conflicts and refusals', async () => {
    put('1s');
    let refused = 0;
    server.intercept = (request, response) => {
      if (request.method !== 'PATCH' || refused === 2) return false;
      if (refused++ === 0) refuse(response, 409, 'Conflict', 'changed');
      else refuse(response, 500, 'InternalError', 'no');
      return true;
    };
    await start();
    await expect.poll(() => accepted()?.status).toBe('True');
    expect(refused).toBe(2);
  });
});

describe('leadership', () => {
  it('is of one replica, and the next one does what was left', async () => {
    put('1s');
    const first = await start('galley-1');
    await expect.poll(() => accepted()?.status).toBe('True');
    await start('galley-2');
    const holder = () => server.get(resourceTypes.leases, 'istio-system', 'lateen-galley')?.spec?.holderIdentity;
    expect(holder()).toBe('galley-1');
    await first.stop();
    put('5q');
    await expect.poll(() => accepted()?.status).toBe('False');
    expect(holder()).toBe('galley-2');
    expect(writes('reviews')).toBe(2);
  });
});

describe('webhook configurations', () => {
  const { validatingWebhooks, mutatingWebhooks } = resourceTypes;
  const webhook = (name: string, namespace = 'istio-system') => ({
    name,
    clientConfig: { service: { namespace, name: 'galley' } },
    failurePolicy: 'Ignore' as const,
  });
  const configuration = (type: ResourceType<WebhookConfiguration>, name: string, namespace?: string) =>
    server.put(type, { metadata: { name }, webhooks: [webhook('a', namespace), webhook('b', namespace)] });
  const get = (type: ResourceType<WebhookConfiguration>, name: string) =>
    server.get(type, undefined, name)?.webhooks ?? [];
  const bundles = (type: ResourceType<WebhookConfiguration>, name: string) =>
    get(type, name).map(({ clientConfig }) => Buffer.from(clientConfig.caBundle ?? '', 'base64').toString());

  it('trust the roots, also new ones; those of others are left alone', async () => {
    configuration(validatingWebhooks, 'lateen-validator');
    configuration(validatingWebhooks, 'lateen-validator-elsewhere', 'other');
    configuration(validatingWebhooks, 'other-validator');
    configuration(mutatingWebhooks, 'lateen-sidecar-injector-canary');
    await start();
    const { rootsPem } = authority;
    await expect.poll(() => bundles(validatingWebhooks, 'lateen-validator')).toEqual([rootsPem, rootsPem]);
    await expect.poll(() => bundles(mutatingWebhooks, 'lateen-sidecar-injector-canary')).toEqual([rootsPem, rootsPem]);
    const both = `${rootsPem}${(await TestAuthority.create()).rootsPem}`;
    source.replace({ ...source.current, rootsPem: both });
    await expect.poll(() => bundles(validatingWebhooks, 'lateen-validator')).toEqual([both, both]);
    await expect.poll(() => bundles(mutatingWebhooks, 'lateen-sidecar-injector-canary')).toEqual([both, both]);
    expect(bundles(validatingWebhooks, 'lateen-validator-elsewhere')).toEqual(['', '']);
    expect(bundles(validatingWebhooks, 'other-validator')).toEqual(['', '']);
    expect(get(mutatingWebhooks, 'lateen-sidecar-injector-canary')[0]?.failurePolicy).toBe('Ignore');
  });

  it('are put right when somebody applies them again', async () => {
    configuration(mutatingWebhooks, 'lateen-sidecar-injector');
    await start();
    const { rootsPem } = authority;
    await expect.poll(() => bundles(mutatingWebhooks, 'lateen-sidecar-injector')).toEqual([rootsPem, rootsPem]);
    configuration(mutatingWebhooks, 'lateen-sidecar-injector');
    await expect.poll(() => bundles(mutatingWebhooks, 'lateen-sidecar-injector')).toEqual([rootsPem, rootsPem]);
  });

  it('refuse what cannot be validated only after validation was seen to work', async () => {
    configuration(validatingWebhooks, 'lateen-validator-canary');
    let isCalled = false;
    const probes: string[] = [];
    server.intercept = (request, response, url) => {
      if (request.method !== 'POST' || !url.pathname.endsWith('/gateways')) return false;
      probes.push(url.search);
      if (isCalled) refuse(response, 422, '', 'admission webhook "validation.lateen.io" denied the request: no');
      return isCalled;
    };
    await start();
    await expect.poll(() => probes.length).toBeGreaterThan(1);
    const policies = () => get(validatingWebhooks, 'lateen-validator-canary').map(({ failurePolicy }) => failurePolicy);
    expect(policies()).toEqual(['Ignore', 'Ignore']);
    isCalled = true;
    await expect.poll(policies).toEqual(['Fail', 'Fail']);
    expect(new Set(probes)).toEqual(new Set(['?dryRun=All']));
    expect(server.store.list('networking.istio.io/gateways', {})).toEqual([]);
  });

  it('are tried with what validation does refuse', async () => {
    configuration(validatingWebhooks, 'lateen-validator');
    let tried: object | undefined;
    server.intercept = (request, _response, url) => {
      if (request.method !== 'POST' || !url.pathname.endsWith('/gateways')) return false;
      request.on('data', (chunk) => {
        tried = JSON.parse(String(chunk));
      });
      return false;
    };
    await start();
    await expect.poll(() => tried).toBeDefined();
    const { problems } = istioRules.parse([{ name: 'x', content: JSON.stringify(tried) }], 'istio-system');
    expect(problems).toMatchObject([{ severity: 'error', path: 'metadata.annotations["istio.io/dry-run"]' }]);
  });
});

describe('the admin API', () => {
  it('refuses to apply and to delete, and still tries', async () => {
    const galley = await start();
    const admin = await authority.source({ namespace: 'istio-system', serviceAccount: 'lateen-admin' });
    const expected = formatSpiffeId({
      trustDomain: 'cluster.local',
      namespace: 'istio-system',
      serviceAccount: 'galley',
    });
    const agent = new MtlsAgent({ source: admin, expectedSpiffeIds: [expected] });
    closers.push(() => agent.destroy());
    const client = createClient(
      ConfigAdmin,
      createConnectTransport({
        baseUrl: `https://127.0.0.1:${galley.ports.admin}`,
        httpVersion: '1.1',
        nodeOptions: { agent },
      }),
    );
    const content = 'apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\nspec: {}\n';
    const files = [{ name: 'a.yaml', content }];
    await expect(client.apply({ files })).rejects.toThrow('use `kubectl apply` and `kubectl delete`');
    await expect(client.delete({ files })).rejects.toThrow('use `kubectl apply`');
    expect((await client.apply({ files, dryRun: true })).problems[0]?.path).toBe('spec');
  });
});
