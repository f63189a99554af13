// Kubernetes tests: a real API server asks about pods, and what it stores is what was injected: selectors, patches, pod
// validation and Pod Security are its own.

import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  type AdmissionReview,
  type Container,
  DEFAULT_MESH_SETTINGS,
  type InjectionSource,
  injectionWebhooks,
  loadInjectionConfig,
  type Pod,
  reviewPod,
} from '@lateen/injection';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { runCommand } from '../harness/run-command.js';
import { waitUntil } from '../harness/wait-until.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();

const source = (revision: string, more: Partial<InjectionSource> = {}): InjectionSource => ({
  config: loadInjectionConfig({}),
  mesh: DEFAULT_MESH_SETTINGS,
  revision,
  version: '1.0.0',
  knowsNativeSidecars: true,
  ...more,
});

/** What a webhook of somebody else does: one more container. */
function addContainer({ request }: AdmissionReview): object {
  const path = '/spec/containers/-';
  const patch = [{ op: 'add', path, value: { name: 'later', image: 'later:1' } }];
  const isThere = (request?.object as Pod | undefined)?.spec?.containers?.some(({ name }) => name === 'later');
  const response = {
    uid: request?.uid,
    allowed: true,
    ...(!isThere && { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
  };
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

/** A webhook server as Galley's is, one path for each revision. */
class Injector {
  readonly asked: string[] = [];
  #server: Server | undefined;
  port = 0;

  constructor(readonly sources: Record<string, InjectionSource>) {}

  async start(cert: Buffer, key: Buffer): Promise<void> {
    const server = createServer({ cert, key }, async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      const review = JSON.parse(Buffer.concat(chunks).toString()) as AdmissionReview;
      const revision = request.url?.split('?')[0]?.slice(1) ?? '';
      this.asked.push(revision);
      const answer = revision === 'later' ? addContainer(review) : reviewPod(review, this.sources[revision]!).answer;
      response.setHeader('content-type', 'application/json').end(JSON.stringify(answer));
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

describe.skipIf(programs === undefined)('injection', () => {
  let cluster: Cluster;
  const injector = new Injector({ default: source('default'), canary: source('canary') });
  let files: { certificate: string; key: string };

  /** What an installation applies, at the address of the server here. */
  const install = async (reinvocationPolicy: 'Never' | 'IfNeeded' = 'IfNeeded') => {
    const caBundle = readFileSync(cluster.authority.certificate).toString('base64');
    const all = ['default', 'canary'].map((revision) => {
      const configuration = injectionWebhooks({ revision, reinvocationPolicy });
      const clientConfig = { url: `https://127.0.0.1:${injector.port}/${revision}`, caBundle };
      return { ...configuration, webhooks: configuration.webhooks.map((each) => ({ ...each, clientConfig })) };
    });
    for (const each of all) await cluster.apply(JSON.stringify(each));
  };
  const namespace = (name: string, labels: Record<string, string> = {}) =>
    cluster.apply(JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }));
  const podOf = (name: string, more: { labels?: object; annotations?: object; spec?: object } = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, labels: more.labels, annotations: more.annotations },
    spec: { containers: [{ name: 'web', image: 'web:1' }], ...more.spec },
  });
  const create = (ns: string, pod: object, more: string[] = []) =>
    cluster.tryKubectl(['create', '-n', ns, '-f', '-', ...more], { input: JSON.stringify(pod) });
  const read = (ns: string, name: string) => cluster.get<Pod>(['get', 'pod', name, '-n', ns]);
  /** Until the API server goes by the webhooks that were applied. */
  const untilAsked = (ns: string) =>
    waitUntil(`the API server to ask about pods of ${ns}`, async () => {
      const { stdout } = await create(ns, podOf('probe'), ['--dry-run=server', '-o', 'json']);
      return stdout.includes('istio-proxy');
    });
  const names = (list: readonly Container[] = []) => list.map(({ name }) => name);

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
    files = await cluster.authority.issue('injector', { commonName: 'injector', hosts: ['127.0.0.1'] });
    await injector.start(readFileSync(files.certificate), readFileSync(files.key));
    await namespace('shop', { 'istio-injection': 'enabled' });
    await namespace('plain');
    await namespace('canary', { 'istio.io/rev': 'canary' });
    for (const ns of ['shop', 'plain', 'canary']) {
      await waitUntil(`the service account of ${ns}`, async () => {
        const { exitCode } = await cluster.tryKubectl(['get', 'serviceaccount', 'default', '-n', ns]);
        return exitCode === 0;
      });
    }
    await install();
    await untilAsked('shop');
    await untilAsked('canary');
  });
  afterAll(async () => {
    await cluster?.stop();
    await injector.stop();
  });

  test('a pod of a labelled namespace is stored with its proxy, natively, beside its token and account', async () => {
    expect(await create('shop', podOf('web', { labels: { app: 'web' } }))).toMatchObject({ exitCode: 0 });
    const { metadata, spec } = await read('shop', 'web');
    expect(names(spec?.initContainers)).toEqual(['istio-init', 'istio-proxy']);
    expect(spec?.initContainers?.[1]).toMatchObject({ image: 'lateen/sidecar:1.0.0', restartPolicy: 'Always' });
    expect(metadata?.labels).toMatchObject({
      'service.istio.io/canonical-name': 'web',
      'security.istio.io/tlsMode': 'istio',
    });
  });

  test('namespaces and pods without labels stay as they are; each word is looked at as documented', async () => {
    const injected = async (ns: string, name: string, labels: object, annotations: object = {}) => {
      await create(ns, podOf(name, { labels, annotations }));
      const { metadata, spec } = await read(ns, name);
      return names(spec?.initContainers).includes('istio-proxy') ? metadata?.annotations?.['istio.io/rev'] : undefined;
    };
    expect(await injected('plain', 'nothing', {})).toBeUndefined();
    expect(await injected('plain', 'asks', { 'sidecar.istio.io/inject': 'true' })).toBe('default');
    expect(await injected('plain', 'annotated', {}, { 'sidecar.istio.io/inject': 'true' })).toBeUndefined();
    expect(await injected('plain', 'revision', { 'istio.io/rev': 'canary' })).toBe('canary');
    expect(await injected('shop', 'out', { 'sidecar.istio.io/inject': 'false' })).toBeUndefined();
    expect(await injected('canary', 'new', {})).toBe('canary');
  });

  test('a pod on the network of its node stays as it is, and kubectl says why', async () => {
    const { exitCode, stderr } = await create('shop', podOf('host', { spec: { hostNetwork: true } }));
    expect(exitCode).toBe(0);
    expect(stderr).toContain('Warning: no proxy was injected: the pod uses the network of its node');
    expect((await read('shop', 'host')).spec?.initContainers).toBeUndefined();
  });

  test('wrong annotations are refused with all that is wrong', async () => {
    const annotations = { 'sidecar.istio.io/proxyCPU': 'lots', 'sidecar.istio.io/logLevel': 'loud' };
    const { exitCode, stderr } = await create('shop', podOf('wrong', { annotations }));
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('sidecar.istio.io/proxyCPU is no quantity');
    expect(stderr).toContain('sidecar.istio.io/logLevel is none of');
  });

  test('the API server takes every form of injected pod', async () => {
    const forms: [string, Parameters<typeof podOf>[1], InjectionSource][] = [
      ['classic', {}, source('default', { knowsNativeSidecars: false })],
      [
        'hold',
        {
          annotations: {
            'sidecar.istio.io/nativeSidecar': 'false',
            'proxy.istio.io/config': 'holdApplicationUntilProxyStarts: true',
          },
        },
        source('default'),
      ],
      ['cni', {}, source('default', { config: loadInjectionConfig({ values: 'pilot: { cni: { enabled: true } }' }) })],
      [
        'gateway',
        {
          annotations: { 'inject.istio.io/templates': 'gateway' },
          spec: { containers: [{ name: 'istio-proxy', image: 'auto' }] },
        },
        source('default'),
      ],
      [
        'probes',
        {
          spec: {
            containers: [
              {
                name: 'web',
                image: 'w',
                ports: [{ name: 'http', containerPort: 80 }],
                livenessProbe: { grpc: { port: 9000 } },
                readinessProbe: { httpGet: { port: 'http' } },
                lifecycle: { preStop: { httpGet: { port: 'http', path: '/x' } } },
              },
            ],
          },
        },
        source('default'),
      ],
      [
        'volumes',
        {
          annotations: {
            'sidecar.istio.io/userVolume': '[{"name":"mine","emptyDir":{}}]',
            'sidecar.istio.io/userVolumeMount': '{"mine":{"mountPath":"/mine"}}',
          },
        },
        source('default'),
      ],
    ];
    const before = injector.sources.default!;
    for (const [name, more, each] of forms) {
      injector.sources.default = each;
      const { exitCode, stderr } = await create('shop', podOf(name, more));
      expect([name, exitCode, stderr]).toEqual([name, 0, '']);
      const { spec } = await read('shop', name);
      expect([...names(spec?.containers), ...names(spec?.initContainers)]).toContain('istio-proxy');
    }
    injector.sources.default = before;
  });

  test('under the restricted Pod Security standard pods are injected where the CNI plugin writes the rules', async () => {
    await cluster.kubectl(['label', 'namespace', 'canary', 'pod-security.kubernetes.io/enforce=restricted']);
    const restricted = {
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'web',
          image: 'w',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    };
    const refused = await create('canary', podOf('with-init', { spec: restricted }));
    expect(refused.stderr).toMatch(/violates PodSecurity.*istio-init/s);
    expect(refused.stderr).not.toContain('istio-proxy');
    injector.sources.canary = source('canary', {
      config: loadInjectionConfig({ values: 'pilot: { cni: { enabled: true } }' }),
    });
    expect(await create('canary', podOf('with-cni', { spec: restricted }))).toMatchObject({ exitCode: 0 });
    expect(names((await read('canary', 'with-cni')).spec?.initContainers)).toEqual(['istio-validation', 'istio-proxy']);
  });

  test('asked again because a later webhook has changed the pod, it tells the proxy of the change and adds nothing twice', async () => {
    // In the order of their names: this one comes last.
    const configuration = injectionWebhooks();
    const caBundle = readFileSync(cluster.authority.certificate).toString('base64');
    const clientConfig = { url: `https://127.0.0.1:${injector.port}/later`, caBundle };
    const [webhook] = configuration.webhooks.filter(({ name }) => name === 'namespace.sidecar-injector.istio.io');
    await cluster.apply(
      JSON.stringify({
        ...configuration,
        metadata: { name: 'zz-later' },
        webhooks: [{ ...webhook, name: 'later.example.org', clientConfig }],
      }),
    );
    await expect
      .poll(async () => (await create('shop', podOf('probe'), ['--dry-run=server', '-o', 'json'])).stdout)
      .toContain('"later"');
    injector.asked.length = 0;
    expect(await create('shop', podOf('twice'))).toMatchObject({ exitCode: 0 });
    expect(injector.asked.filter((each) => each === 'default').length).toBe(2);
    const { spec } = await read('shop', 'twice');
    expect(names(spec?.initContainers)).toEqual(['istio-init', 'istio-proxy']);
    expect(names(spec?.containers)).toEqual(['web', 'later']);
    const told = spec?.initContainers?.[1]?.env?.find(({ name }) => name === 'ISTIO_META_APP_CONTAINERS');
    expect(told?.value).toBe('web,later');
    await cluster.kubectl(['delete', 'mutatingwebhookconfiguration', 'zz-later']);
  });

  test('every pod of Bookinfo that the controllers make has its proxy', async () => {
    await namespace('bookinfo', { 'istio-injection': 'enabled' });
    await untilAsked('bookinfo');
    const file = join(REPOSITORY, 'examples/bookinfo/bookinfo.yaml');
    await cluster.kubectl(['apply', '-n', 'bookinfo', '-f', file]);
    const pods = async () => (await cluster.get<{ items: Pod[] }>(['get', 'pods', '-n', 'bookinfo'])).items;
    await expect.poll(async () => (await pods()).length).toBeGreaterThanOrEqual(6);
    for (const { metadata, spec } of await pods()) {
      expect([metadata?.name, names(spec?.initContainers)]).toEqual([metadata?.name, ['istio-init', 'istio-proxy']]);
      const owner = spec?.initContainers?.[1]?.env?.find(({ name }) => name === 'ISTIO_META_OWNER')?.value;
      expect(owner).toMatch(/^kubernetes:\/\/apis\/apps\/v1\/namespaces\/bookinfo\/deployments\/[a-z]+-v\d$/);
    }
  });

  test('check-inject says of each pod what was decided, and finds the webhooks that are there', async () => {
    const lateenctl = join(REPOSITORY, 'bin/lateenctl');
    const check = async (...args: string[]) => {
      const words = ['check-inject', '--kubeconfig', cluster.kubeconfig, '-o', 'json', ...args];
      const { stdout, stderr, exitCode } = await runCommand(lateenctl, words, {
        directory: cluster.directory,
        env: {},
      });
      expect([exitCode, stderr]).toEqual([0, '']);
      return JSON.parse(stdout) as { name: string; injected: boolean; hasProxy: boolean; code: string }[];
    };
    for (const ns of ['shop', 'plain', 'canary', 'bookinfo']) {
      const pods = await check('-n', ns);
      expect(pods.length).toBeGreaterThan(0);
      expect(pods.filter(({ injected, hasProxy }) => injected !== hasProxy)).toEqual([]);
    }
    expect(await check('host', '-n', 'shop')).toMatchObject([{ injected: false, code: 'host-network' }]);
    expect(await check('-A', '-l', 'app=reviews')).toHaveLength(3);
  });

  test('with the webhook away pods of the mesh are not made, others are; then they are again', async () => {
    await injector.stop();
    const refused = await create('shop', podOf('away'));
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain('failed calling webhook "namespace.sidecar-injector.istio.io"');
    expect(await create('plain', podOf('away'))).toMatchObject({ exitCode: 0 });
    await injector.start(readFileSync(files.certificate), readFileSync(files.key));
    await expect.poll(() => create('shop', podOf('away'))).toMatchObject({ exitCode: 0 });
  });
});
