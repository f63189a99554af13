// Kubernetes tests: what is installed: the API server takes every manifest, its policies take every pod, and nothing stays of it when it goes.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import type { CommandResult } from '../harness/run-command.js';
import { runCommand } from '../harness/run-command.js';
import { waitUntil } from '../harness/wait-until.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();
const DEPLOY = join(REPOSITORY, 'deploy');
const FOLDERS = ['cni', ...readdirSync(join(DEPLOY, 'profiles')).map((profile) => `profiles/${profile}`)];

/** An application's pod as Pod Security of level restricted wants it, in a namespace that asks for that and for proxies. */
const RESTRICTED = `
apiVersion: v1
kind: Pod
metadata: { name: app, namespace: shop }
spec:
  securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: RuntimeDefault } }
  containers:
    - { name: app, image: node, securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: [ALL] } } }
`;

/** A document of the mesh goes with its definition. */
const ROUTE = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: reviews, namespace: shop }
spec: { hosts: [reviews], http: [{ route: [{ destination: { host: reviews } }] }] }
`;

describe.skipIf(programs === undefined)('an installation', { timeout: 180_000 }, () => {
  let cluster: Cluster;
  let before: readonly string[];

  const tryLateenctl = (...args: string[]): Promise<CommandResult> =>
    runCommand(join(REPOSITORY, 'bin', 'lateenctl'), args, {
      directory: REPOSITORY,
      env: { KUBECONFIG: cluster.kubeconfig },
    });
  const lateenctl = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await tryLateenctl(...args);
    expect(exitCode, `lateenctl ${args.join(' ')}: ${stdout}${stderr}`).toBe(0);
    return stdout;
  };
  const tryPod = () =>
    cluster.tryKubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input: RESTRICTED });

  /** Every object of every kind, but what Kubernetes makes as things happen: events, and the leases of nodes. */
  async function allObjects(): Promise<string[]> {
    const told = await cluster.kubectl(['api-resources', '--verbs=list', '-o', 'name']);
    const kinds = told.split('\n').filter((name) => name !== '' && !/^events(\.|$)|^componentstatuses$/.test(name));
    const columns =
      '-o=jsonpath={range .items[*]}{.apiVersion} {.kind} {.metadata.namespace}/{.metadata.name}{"\\n"}{end}';
    const objects = await cluster.kubectl(['get', kinds.join(','), '-A', columns]);
    return objects
      .split('\n')
      .filter((name) => name !== '' && !name.includes(' Lease kube-node-lease/'))
      .sort();
  }

  beforeAll(async () => {
    cluster = await startCluster({ programs: programs!, nodes: 2 });
    await cluster.kubectl(['create', 'namespace', 'shop']);
    const made = () =>
      cluster.tryKubectl(['get', '-n', 'shop', 'serviceaccount/default', 'configmap/kube-root-ca.crt']);
    await waitUntil('what every namespace has', async () => (await made()).exitCode === 0);
    before = await allObjects();
    expect(before).toContain('v1 ConfigMap shop/kube-root-ca.crt');
  });
  afterAll(() => cluster?.stop());

  test('is tried without a trace by install --dry-run', async () => {
    const said = await lateenctl('install', '--set', 'profile=demo', '--dry-run');
    expect(said).toContain('Deployment/istio-system/pilot: would be created');
    expect(await allObjects()).toEqual(before);
  });

  test.each(FOLDERS)('has manifests that the API server and its policies take: %s', async (folder) => {
    await cluster.kubectl(['apply', '--server-side', '-k', join(DEPLOY, 'base')]);
    const manifests = await cluster.kubectl(['kustomize', join(DEPLOY, folder)]);
    const { exitCode, stdout, stderr } = await cluster.tryKubectl(
      ['apply', '--server-side', '--dry-run=server', '-f', '-'],
      { input: manifests },
    );
    // A pod that Pod Security would refuse, or a field that is not known, would be a warning.
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(parseAllDocuments(manifests).length);
  });

  test('is made, verified, and the same when it is made again', async () => {
    await lateenctl('install', '--set', 'profile=demo', '-y', '--timeout', '120s');
    await lateenctl('verify-install');
    await lateenctl('check');
    const again = await lateenctl('install', '--set', 'profile=demo', '-y', '--timeout', '120s');
    const counts = again.match(/^[a-z-]+: \d+ created, \d+ configured, \d+ unchanged$/gm) ?? [];
    expect(counts.length).toBeGreaterThan(4);
    for (const line of counts) expect(line).toContain(': 0 created, 0 configured,');
  });

  test('tells what is missing of it', async () => {
    await cluster.kubectl(['delete', 'service', '-n', 'istio-system', 'pilot']);
    const { exitCode, stdout, stderr } = await tryLateenctl('verify-install');
    expect(exitCode).toBe(1);
    expect(stdout + stderr).toContain('Service/istio-system/pilot');
    await lateenctl('upgrade', '-y', '--timeout', '120s');
    await lateenctl('verify-install');
  });

  test('has tags, which are set, listed and removed', async () => {
    await lateenctl('tag', 'set', 'stable', '--revision', 'default');
    expect(JSON.parse(await lateenctl('tag', 'list', '-o', 'json'))).toEqual([
      { tag: 'stable', revision: 'default', namespaces: [] },
    ]);
    await lateenctl('tag', 'remove', 'stable', '-y');
    expect(JSON.parse(await lateenctl('tag', 'list', '-o', 'json'))).toEqual([]);
    expect((await tryLateenctl('tag', 'set', 'stable', '--revision', 'absent')).exitCode).toBe(1);
  });

  test('injects pods that break a policy only by the container that writes redirect rules, and by none with the CNI plugin', async () => {
    const labels = ['istio-injection=enabled', 'pod-security.kubernetes.io/enforce=restricted'];
    await cluster.kubectl(['label', 'namespace', 'shop', ...labels]);
    await expect.poll(async () => (await tryPod()).stderr).toContain('violates PodSecurity "restricted');
    const containers = [...(await tryPod()).stderr.matchAll(/containers? ((?:"[^"]+"(?:, )?)+)/g)];
    expect(new Set(containers.flatMap(([, names = '']) => names.split(', ')))).toEqual(new Set(['"istio-init"']));

    expect(await lateenctl('upgrade', '--dry-run', '--set', 'proxy.cni=true')).toContain(
      'ConfigMap/istio-system/istio-sidecar-injector: would be configured',
    );
    await lateenctl('upgrade', '-y', '--set', 'proxy.cni=true', '--timeout', '120s');
    await expect.poll(async () => (await tryPod()).stderr).toBe('');
    const { spec } = JSON.parse((await tryPod()).stdout) as { spec: { initContainers: { name: string }[] } };
    expect(spec.initContainers.map(({ name }) => name)).toEqual(['istio-validation', 'istio-proxy']);
  });

  test('leaves nothing behind when it is taken away', async () => {
    await cluster.apply(ROUTE);
    await cluster.kubectl(['apply', '-k', join(DEPLOY, 'cni')]);
    await cluster.kubectl(['rollout', 'status', '-n', 'kube-system', 'daemonset/lateen-cni-node', '--timeout=120s']);
    const bundles = ['get', 'configmap', '-n', 'shop', 'istio-ca-root-cert'];
    await expect.poll(async () => (await cluster.tryKubectl(bundles)).exitCode).toBe(0);
    const told = await lateenctl('uninstall', '--purge', '--crds', '--dry-run');
    expect(told).toContain('would remove ConfigMap/shop/istio-ca-root-cert');
    await lateenctl('uninstall', '--purge', '--crds', '-y');
    // API groups go a moment after their definitions, pods after their Deployments.
    await expect.poll(allObjects, { timeout: 60_000 }).toEqual(before);
    expect((await tryLateenctl('uninstall', '--purge', '-y')).exitCode).toBe(1);
  });

  test('can be made again after that', async () => {
    await lateenctl('install', '--set', 'profile=minimal', '-y', '--timeout', '120s');
    await lateenctl('verify-install');
    await expect.poll(async () => (await tryPod()).stderr).toContain('violates PodSecurity "restricted');
  });
});
