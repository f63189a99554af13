// Kubernetes tests: what somebody does who installs Lateen in a cluster: the demo profile, a label on a namespace, Bookinfo, rules.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';
import { runCommand } from '../harness/run-command.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();
const BOOKINFO = readFileSync(join(REPOSITORY, 'examples', 'bookinfo', 'bookinfo.yaml'), 'utf8');

/** Programs that know nothing of a mesh. */
const CLIENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: client }
spec:
  selector: { matchLabels: { app: client } }
  template:
    metadata: { labels: { app: client } }
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{ name: client, image: host, command: [sleep, '100000'], securityContext: { runAsUser: 1000 } }]
`;

const ROUTES = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews }
spec:
  host: reviews
  subsets:
    - { name: v1, labels: { version: v1 } }
    - { name: v2, labels: { version: v2 } }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews }
spec:
  hosts: [reviews]
  http:
    - match: [{ headers: { end-user: { exact: jason } } }]
      route: [{ destination: { host: reviews, subset: v2 } }]
    - route: [{ destination: { host: reviews, subset: v1 } }]
`;

const STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default }
spec: { mtls: { mode: STRICT } }
`;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly initContainers?: readonly { readonly name: string }[] };
  }[];
}

describe.skipIf(programs === undefined)('Bookinfo in a cluster', () => {
  let cluster: Cluster;
  const inNamespace = (namespace: string, yaml: string) =>
    cluster.kubectl(['apply', '-n', namespace, '-f', '-'], { input: yaml });
  const available = (namespace: string) =>
    cluster.kubectl(['wait', '-n', namespace, '--for=condition=Available', 'deployment', '--all', '--timeout=120s']);
  const from = (namespace: string, ...command: string[]) =>
    cluster.tryKubectl(['exec', '-n', namespace, 'deploy/client', '-c', 'client', '--', ...command]);
  const review = async (namespace: string, ...more: string[]) => {
    const { stdout } = await from(namespace, 'curl', '-s', '-m', '5', ...more, 'http://reviews.shop:9080/reviews/0');
    return JSON.parse(stdout) as { podname?: string; reviews?: { rating?: object }[] };
  };

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs!, nodes: 2 });
    const lateenctl = join(REPOSITORY, 'bin', 'lateenctl');
    const installed = await runCommand(lateenctl, ['install', '--set', 'profile=demo', '-y', '--timeout', '120s'], {
      directory: REPOSITORY,
      env: { KUBECONFIG: cluster.kubeconfig },
    });
    if (installed.exitCode !== 0) throw new Error(`lateenctl install failed: ${installed.stdout}${installed.stderr}`);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await cluster.kubectl(['label', 'namespace', 'shop', 'istio-injection=enabled']);
    await cluster.kubectl(['create', 'namespace', 'legacy']);
    await inNamespace('shop', BOOKINFO);
    await inNamespace('shop', CLIENT);
    await inNamespace('legacy', CLIENT);
    await Promise.all([available('shop'), available('legacy')]);
  });
  afterAll(() => cluster?.stop());

  test('has a proxy in every pod of the labelled namespace, and in none of the other', async () => {
    const proxies = async (namespace: string) => {
      const { items } = await cluster.get<PodList>(['get', 'pods', '-n', namespace]);
      return items.map(({ spec }) => (spec.initContainers ?? []).map(({ name }) => name));
    };
    const injected = await proxies('shop');
    expect(injected).toHaveLength(7);
    for (const names of injected) expect(names).toEqual(['istio-init', 'istio-proxy']);
    expect(await proxies('legacy')).toEqual([[]]);
  });

  test.each([
    ['curl', ['curl', '-s', '-m', '5', 'http://reviews:9080/reviews/0']],
    ["Node's fetch", ['node', '-e', "fetch('http://reviews:9080/reviews/0').then((r) => r.text()).then(console.log)"]],
    [
      'Python',
      [
        'python3',
        '-c',
        "from urllib.request import urlopen; print(urlopen('http://reviews:9080/reviews/0').read().decode())",
      ],
    ],
  ])('takes requests of an unmodified %s through both proxies', async (_name, command) => {
    const { stdout, stderr } = await from('shop', ...command);
    expect(stdout, stderr).toContain('"reviews"');
  });

  test('lets jason see v2, and others v1', async () => {
    await inNamespace('shop', ROUTES);
    await expect.poll(() => review('shop', '-H', 'end-user: jason').then(JSON.stringify)).toContain('reviews-v2');
    for (let round = 0; round < 10; round++) {
      expect(JSON.stringify(await review('shop', '-H', 'end-user: jason'))).toContain('reviews-v2');
      expect(JSON.stringify(await review('shop'))).toContain('reviews-v1');
    }
  });

  test('refuses a rule that is wrong, with the text of validation', async () => {
    const wrong = ROUTES.replace('exact: jason', 'exact: 7');
    const refused = await cluster.tryKubectl(['apply', '-n', 'shop', '-f', '-'], { input: wrong });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toContain('spec.http[0].match[0].headers');
  });

  test('serves plain clients while it is PERMISSIVE, and refuses them when it is STRICT', async () => {
    expect((await from('legacy', 'curl', '-s', '-m', '5', 'http://details.shop:9080/details/0')).stdout).toContain('{');
    await inNamespace('shop', STRICT);
    await expect
      .poll(async () => (await from('legacy', 'curl', '-s', '-m', '5', 'http://details.shop:9080/details/0')).exitCode)
      .not.toBe(0);
    expect((await from('shop', 'curl', '-s', '-m', '5', 'http://details:9080/details/0')).stdout).toContain('{');
  });

  test('takes the other namespace in by a label and a restart', async () => {
    await cluster.kubectl(['label', 'namespace', 'legacy', 'istio-injection=enabled']);
    await cluster.kubectl(['rollout', 'restart', '-n', 'legacy', 'deployment/client']);
    await cluster.kubectl(['rollout', 'status', '-n', 'legacy', 'deployment/client', '--timeout=60s']);
    await expect
      .poll(async () => (await from('legacy', 'curl', '-s', '-m', '5', 'http://details.shop:9080/details/0')).stdout)
      .toContain('{');
  });
});
