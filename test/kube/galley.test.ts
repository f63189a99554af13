// Kubernetes tests: Galley against a real API server, by its own service account: webhook, statuses, last good versions, one writer.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { storeIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { CONTROL_PLANE } from './harness/addresses.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { type Component, createComponent } from './harness/component.js';
import { requireKubePrograms } from './harness/kube-programs.js';
import { writeKubeconfig } from './harness/kubeconfig.js';

const programs = requireKubePrograms();
const PROGRAM = join(REPOSITORY, 'apps/galley/dist/main.js');
const NAMES = ['galley.istio-system.svc', 'galley.istio-system.svc.cluster.local'];
const REPLICAS = [
  { name: 'galley-1', port: 15_017 },
  { name: 'galley-2', port: 15_117 },
] as const;

/** No selector: what answers is on node 1, where the tests run. */
const SERVICE = `
apiVersion: v1
kind: Service
metadata: {name: galley, namespace: istio-system}
spec: {ports: [{name: https-webhooks, port: 443, targetPort: 15017}]}
${REPLICAS.map(
  ({ name, port }) => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, namespace: istio-system, labels: {kubernetes.io/service-name: galley}}
addressType: IPv4
endpoints: [{addresses: [${CONTROL_PLANE.ipv4}], conditions: {ready: true}}]
ports: [{name: https-webhooks, port: ${port}}]
`,
).join('')}`;

const reviews = (timeout: string, name = 'reviews', annotations = '{}') => `
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata: {name: ${name}, namespace: shop, annotations: ${annotations}}
spec:
  hosts: [reviews]
  http:
  - timeout: ${timeout}
    route:
    - destination: {host: reviews}
`;
/** What no schema can tell. */
const invalid = (timeout: string, name = 'reviews') => reviews(timeout, name, "{istio.io/dry-run: 'true'}");

describe.skipIf(programs === undefined)('Galley', () => {
  let cluster: Cluster;
  let authority: TestAuthority;
  let galleys: readonly Component[];

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
    await cluster.kubectl(['create', 'namespace', 'istio-system']);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await cluster.kubectl(['apply', '--server-side', '-k', join(REPOSITORY, 'deploy/crds')]);
    await cluster.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
    for (const file of ['service-accounts', 'rbac', 'configmap', 'webhooks']) {
      await cluster.kubectl(['apply', '--server-side', '-f', join(REPOSITORY, `deploy/galley/${file}.yaml`)]);
    }
    await cluster.apply(SERVICE);
    authority = await TestAuthority.create();
    const token = (await cluster.kubectl(['create', 'token', 'galley', '-n', 'istio-system', '--duration=1h'])).trim();
    const kubeconfig = writeKubeconfig(join(cluster.directory, 'galley.kubeconfig'), {
      server: cluster.server,
      authority: cluster.authority.certificate,
      user: { token },
    });
    galleys = await Promise.all(REPLICAS.map(({ name, port }) => createGalley(name, port, kubeconfig)));
  });
  beforeEach(async () => {
    for (const galley of galleys) galley.start();
    await failsClosed();
  });
  afterAll(async () => {
    for (const galley of galleys ?? []) await galley.stop();
    await cluster?.stop();
  });

  async function createGalley(name: string, port: number, kubeconfig: string): Promise<Component> {
    const state = join(cluster.directory, name);
    const identity = await authority.issue({
      namespace: 'istio-system',
      serviceAccount: 'galley',
      dnsNames: NAMES,
      ttlSeconds: 12 * 3_600,
    });
    await storeIdentity(join(state, 'identity'), identity);
    const roots = join(state, 'identity', 'root-cert.pem');
    const citadel = ['--citadel-address', '127.0.0.1:1', '--token-file', join(state, 'token'), '--root-cert', roots];
    const ports = ['--xds-port', '0', '--admin-port', '0', '--monitoring-port', '0', '--webhook-port', String(port)];
    const where = ['--kubeconfig', kubeconfig, '--address', CONTROL_PLANE.ipv4, '--state-dir', state];
    const args = [`POD_NAME=${name}`, process.execPath, PROGRAM, ...where, ...ports, ...citadel];
    return createComponent(name, 'env', args, join(cluster.directory, `${name}.log`));
  }

  const apply = (yaml: string) => cluster.tryKubectl(['apply', '-f', '-'], { input: yaml });
  async function validators() {
    const { webhooks } = await cluster.get<{
      webhooks: { failurePolicy: string; clientConfig: { caBundle?: string } }[];
    }>(['get', 'validatingwebhookconfiguration', 'lateen-validator']);
    return webhooks;
  }
  const failsClosed = () =>
    expect
      .poll(async () => new Set((await validators()).map(({ failurePolicy }) => failurePolicy)), { timeout: 20_000 })
      .toEqual(new Set(['Fail']));
  interface Status {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message: string }[];
    readonly validationMessages?: readonly { readonly level: string; readonly message: string }[];
    readonly observedGeneration?: number;
  }
  async function statusOf(name = 'reviews'): Promise<Status> {
    const { status } = await cluster.get<{ status?: Status }>(['get', 'virtualservice', name, '-n', 'shop']);
    return status ?? {};
  }
  const accepted = async (name?: string) => (await statusOf(name)).conditions?.find(({ type }) => type === 'Accepted');
  /** The timeout that a replica has in force, as it would serve it after a restart. */
  function inForce(replica: number, name = 'reviews'): string | undefined {
    const file = `config/kubernetes/networking.istio.io/VirtualService/shop/${name}.yaml`;
    try {
      return /"timeout": "([^"]+)"/.exec(
        readFileSync(join(cluster.directory, REPLICAS[replica]!.name, file), 'utf8'),
      )?.[1];
    } catch {
      return undefined;
    }
  }
  const holder = () =>
    cluster.kubectl(['get', 'lease', 'lateen-galley', '-n', 'istio-system', '-o', 'jsonpath={.spec.holderIdentity}']);
  const holderIndex = async () => {
    const name = await holder();
    return REPLICAS.findIndex((replica) => replica.name === name);
  };

  test('has validation fail closed, trusting its own roots', async () => {
    const [webhook] = await validators();
    expect(Buffer.from(webhook!.clientConfig.caBundle!, 'base64').toString()).toBe(authority.rootsPem);
    const injectors = await cluster.get<{ webhooks: { clientConfig: { caBundle?: string } }[] }>([
      'get',
      'mutatingwebhookconfiguration',
      'lateen-sidecar-injector',
    ]);
    for (const { clientConfig } of injectors.webhooks)
      expect(clientConfig.caBundle).toBe(webhook!.clientConfig.caBundle);
  });

  test('refuses through kubectl what is not valid, in the words of validate, and warns of what leads nowhere', async () => {
    const refused = await apply(invalid('1s', 'bad'));
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain(
      'admission webhook "validation.lateen.io" denied the request: VirtualService/shop/bad',
    );
    expect(refused.stderr).toContain(
      'metadata.annotations["istio.io/dry-run"]: the annotation istio.io/dry-run is for',
    );
    const subset = `${reviews('1s', 'subset').trimEnd().replace('{host: reviews}', '{host: reviews, subset: v9}')}\n`;
    const warned = await apply(subset);
    expect(warned.exitCode).toBe(0);
    expect(warned.stderr).toMatch(
      /^Warning: VirtualService\/shop\/subset spec\.http\[0\].*no DestinationRule defines/m,
    );
    const dry = await cluster.tryKubectl(['apply', '--dry-run=server', '-f', '-'], { input: invalid('1s', 'dry') });
    expect(dry.stderr).toContain('denied the request');
    await cluster.kubectl(['delete', 'virtualservice', 'subset', '-n', 'shop']);
  });

  test('says in the status of a resource that it is in force', async () => {
    await cluster.apply(reviews('1s'));
    await cluster.kubectl([
      'wait',
      '--for=condition=Accepted',
      'virtualservice/reviews',
      '-n',
      'shop',
      '--timeout=30s',
    ]);
    expect((await statusOf()).observedGeneration).toBe(1);
    await expect.poll(() => [inForce(0), inForce(1)]).toEqual(['1s', '1s']);
  });

  test('away: changes are refused, deletions are not, and what slips in does not replace what was good', async () => {
    await cluster.apply(reviews('2s'));
    await cluster.apply(reviews('2s', 'other'));
    await expect.poll(() => [inForce(0), inForce(1), inForce(0, 'other')]).toEqual(['2s', '2s', '2s']);
    for (const galley of galleys) await galley.stop();
    const refused = await apply(reviews('3s'));
    expect(refused.stderr).toContain('failed calling webhook "validation.lateen.io"');
    await cluster.kubectl(['delete', 'virtualservice', 'other', '-n', 'shop']);
    const open = [{ op: 'replace', path: '/webhooks/0/failurePolicy', value: 'Ignore' }];
    await cluster.kubectl([
      ...['patch', 'validatingwebhookconfiguration', 'lateen-validator', '--type=json'],
      ...['-p', JSON.stringify(open)],
    ]);
    expect((await apply(invalid('3s'))).exitCode).toBe(0);

    for (const galley of galleys) galley.start();
    await expect.poll(accepted).toMatchObject({
      status: 'False',
      message: expect.stringContaining('the last good version of it stays in force: metadata.annotations'),
    });
    expect((await statusOf()).validationMessages).toMatchObject([{ level: 'ERROR' }]);
    await expect.poll(() => [inForce(0, 'other'), inForce(1, 'other')]).toEqual([undefined, undefined]);
    expect([inForce(0), inForce(1)]).toEqual(['2s', '2s']);
    await failsClosed();
    await cluster.apply(reviews('4s'));
    await expect.poll(accepted).toMatchObject({ status: 'True' });
    await expect.poll(() => [inForce(0), inForce(1)]).toEqual(['4s', '4s']);
  });

  // Before it is restarted: an API server that starts knows nobody's rights for a moment.
  test('asks for nothing that it may not', async () => {
    const forbidden = cluster.auditEvents().filter(({ responseStatus }) => responseStatus?.code === 403);
    expect(forbidden.map(({ verb, requestURI }) => `${verb} ${requestURI}`)).toEqual([]);
  });

  test('goes on when the API server was restarted', async () => {
    await cluster.restartApiServer();
    await expect.poll(async () => (await apply(reviews('5s'))).exitCode).toBe(0);
    await expect.poll(() => [inForce(0), inForce(1)]).toEqual(['5s', '5s']);
    await expect.poll(async () => (await statusOf()).observedGeneration).toBe((await generation()) as number);
  });
  const generation = async () =>
    (await cluster.get<{ metadata: { generation: number } }>(['get', 'virtualservice', 'reviews', '-n', 'shop']))
      .metadata.generation;

  test('finds what it missed when the API server no longer keeps the version that it has (410)', async () => {
    const lists = () => {
      const asked = cluster.auditEvents().filter(({ objectRef }) => objectRef?.resource === 'virtualservices');
      return asked.filter(({ verb }) => verb === 'list').length;
    };
    const follower = 1 - (await holderIndex());
    const before = lists();
    process.kill(galleys[follower]!.pid!, 'SIGSTOP');
    try {
      // The validator's connections to it would hang until they time out.
      await cluster.kubectl(['delete', 'validatingwebhookconfiguration', 'lateen-validator']);
      await cluster.apply(reviews('1s', 'later'));
      await cluster.apply(reviews('6s'));
      await cluster.kubectl(['delete', 'virtualservice', 'later', '-n', 'shop']);
      // A new API server keeps no event from before it was started.
      await cluster.restartApiServer();
    } finally {
      process.kill(galleys[follower]!.pid!, 'SIGCONT');
    }
    await expect.poll(() => inForce(follower)).toBe('6s');
    expect(inForce(follower, 'later')).toBeUndefined();
    expect(lists()).toBeGreaterThan(before);
    await cluster.kubectl(['apply', '--server-side', '-f', join(REPOSITORY, 'deploy/galley/webhooks.yaml')]);
    await failsClosed();
  });

  test('has another one write when the writer is killed', async () => {
    await expect.poll(holderIndex).toBeGreaterThanOrEqual(0);
    const leader = await holderIndex();
    await galleys[leader]!.stop('SIGKILL');
    await expect.poll(async () => (await apply(reviews('7s', 'killed'))).exitCode).toBe(0);
    await expect.poll(() => accepted('killed')).toMatchObject({ status: 'True' });
    expect(await holderIndex()).toBe(1 - leader);
  });
});
