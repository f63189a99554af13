// Kubernetes tests: the control plane of the test cluster is a real one.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();

describe.skipIf(programs === undefined)('the control plane', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
  });
  afterAll(() => cluster?.stop());

  test('says which version it is, and kubectl is of the same', async () => {
    const version = await cluster.get<Record<string, { gitVersion: string }>>(['version']);
    expect(version.serverVersion!.gitVersion).toBe('v1.34.2');
    expect(version.clientVersion!.gitVersion).toBe('v1.34.2');
  });

  test('runs its controllers: a namespace gets its service account and its root certificate', async () => {
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await expect
      .poll(() => cluster.kubectl(['get', 'serviceaccount,configmap', '-n', 'shop', '-o', 'name']))
      .toBe('serviceaccount/default\nconfigmap/kube-root-ca.crt\n');
  });

  test('holds everybody to RBAC but the administrator', async () => {
    const kubeconfig = await cluster.kubeconfigFor('jason', ['readers']);
    const refused = await cluster.tryKubectl(['get', 'pods'], { kubeconfig });
    expect(refused.stderr).toContain('User "jason" cannot list resource "pods"');
    await cluster.kubectl(['create', 'clusterrolebinding', 'readers', '--clusterrole=view', '--group=readers']);
    await expect.poll(() => cluster.tryKubectl(['get', 'pods'], { kubeconfig })).toMatchObject({ exitCode: 0 });
  });

  test('issues tokens for an audience, which a TokenReview takes for that audience alone', async () => {
    const create = ['create', 'token', 'default', '-n', 'shop', '--audience', 'istio-ca'];
    const token = (await cluster.kubectl(create)).trim();
    const review = async (audience: string) => {
      const asked = {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token, audiences: [audience] },
      };
      const told = await cluster.kubectl(['create', '-f', '-', '-o', 'json'], { input: JSON.stringify(asked) });
      return (JSON.parse(told) as { status: object }).status;
    };
    expect(await review('istio-ca')).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:shop:default' },
      audiences: ['istio-ca'],
    });
    expect(await review('other')).not.toHaveProperty('authenticated');
  });

  test('enforces Pod Security and ValidatingAdmissionPolicy as it does by default', async () => {
    await cluster.kubectl(['label', 'namespace', 'shop', 'pod-security.kubernetes.io/enforce=restricted']);
    const refused = await cluster.tryKubectl([
      'run',
      'bad',
      '-n',
      'shop',
      '--image=bad',
      '--privileged',
      '--dry-run=server',
    ]);
    expect(refused.stderr).toContain('violates PodSecurity "restricted:latest"');
    expect(
      await cluster.kubectl(['api-resources', '--api-group=admissionregistration.k8s.io', '-o', 'name']),
    ).toContain('validatingadmissionpolicies');
  });

  test('keeps what it knows when the API server starts anew', async () => {
    const before = cluster.component('kube-apiserver').pid;
    await cluster.restartApiServer();
    expect(cluster.component('kube-apiserver').pid).not.toBe(before);
    expect(await cluster.kubectl(['get', 'namespace', 'shop', '-o', 'name'])).toBe('namespace/shop\n');
  });

  test('tells in its audit log who asked for what', async () => {
    const token = (await cluster.kubectl(['create', 'token', 'default', '-n', 'shop'])).trim();
    await cluster.tryKubectl(['get', 'secrets', '-n', 'shop', `--token=${token}`], {
      kubeconfig: cluster.anonymousKubeconfig,
    });
    await expect
      .poll(() => cluster.auditEvents())
      .toContainEqual(
        expect.objectContaining({
          verb: 'list',
          user: expect.objectContaining({ username: 'system:serviceaccount:shop:default' }),
          objectRef: expect.objectContaining({ resource: 'secrets', namespace: 'shop' }),
        }),
      );
  });
});
