// Kubernetes tests: Citadel on a real API server: whose tokens it takes, one root of several replicas, rotation when its leader dies,
// and the bundle in every namespace. The replicas have the permissions of deploy/citadel, and no more.

import { createPrivateKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createKeyAndCsr,
  identityFromPem,
  MtlsAgent,
  mtlsFetch,
  rootIdsOf,
  type SpiffeId,
  StaticIdentity,
} from '@lateen/identity';
import { requestCertificate } from '@lateen/identity/certificate-call';
import type { AuthorityStatus } from '@lateen/telemetry';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import { type Citadel, CitadelReplicas } from './citadel-replicas.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const SYSTEM = 'istio-system';
const CITADEL_ID = 'spiffe://cluster.local/ns/istio-system/sa/citadel' as SpiffeId;
/** Of apps/citadel/src/authority/fault-point.ts, those that a Secret has. */
const FAULT_POINTS = [
  'make:decided',
  'make:stored',
  'distribute:decided',
  'distribute:bundle',
  'distribute:followed',
  'issue:decided',
  'issue:bundle',
  'issue:followed',
  'remove:decided',
  'remove:bundle',
  'remove:erased',
];

const programs = requireKubePrograms();

describe.skipIf(programs === undefined)('Citadel', () => {
  let cluster: Cluster;
  let replicas: CitadelReplicas;
  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
    for (const file of ['base/namespace.yaml', 'citadel/service-accounts.yaml', 'citadel/rbac.yaml'])
      await cluster.kubectl(['apply', '-f', join(REPOSITORY, 'deploy', file)]);
    await cluster.kubectl(['create', 'namespace', 'shop']);
    await cluster.kubectl(['create', 'serviceaccount', 'cart', '-n', 'shop']);
    replicas = new CitadelReplicas(cluster);
  });
  afterAll(async () => {
    await replicas?.end();
    await cluster?.stop();
  });

  const rootSecret = async (key: string) => {
    const { body } = await cluster.request('GET', `/api/v1/namespaces/${SYSTEM}/secrets/istio-ca-secret`);
    const data = body.data as Record<string, string> | undefined;
    return Buffer.from(data?.[key] ?? '', 'base64').toString();
  };
  const bundlePath = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps/istio-ca-root-cert`;
  const bundle = async (namespace: string) => {
    const { body } = await cluster.request('GET', bundlePath(namespace));
    return (body.data as Record<string, string> | undefined)?.['root-cert.pem'];
  };
  const leader = async () => {
    const { body } = await cluster.request(
      'GET',
      `/apis/coordination.k8s.io/v1/namespaces/${SYSTEM}/leases/lateen-citadel`,
    );
    return (body.spec as { holderIdentity?: string } | undefined)?.holderIdentity;
  };
  const token = async (namespace: string, account: string, ...more: string[]) =>
    (await cluster.kubectl(['create', 'token', account, '-n', namespace, '--audience', 'istio-ca', ...more])).trim();

  async function ask(citadel: Citadel, shown: string, spiffeId?: SpiffeId) {
    const rootsPem = await rootSecret('root-cert.pem');
    const { keyPem, csrPem } = await createKeyAndCsr({ spiffeId });
    const address = `127.0.0.1:${citadel.ports.grpc}`;
    const call = { address, token: shown, rootsPem, serverSpiffeId: CITADEL_ID, csrPem, validitySeconds: 0 };
    const chain = await requestCertificate(call);
    return identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem });
  }

  async function admin(citadel: Citadel, method: string, path: string, as = 'lateen-admin'): Promise<Response> {
    const source = new StaticIdentity(await ask(citadel, await token(SYSTEM, as)));
    const agent = new MtlsAgent({ source, expectedSpiffeIds: [CITADEL_ID] });
    try {
      const response = await mtlsFetch(agent)(`https://127.0.0.1:${citadel.ports.admin}${path}`, { method });
      return new Response(await response.text(), { status: response.status });
    } finally {
      agent.destroy();
    }
  }

  test('makes one root, whichever of two replicas is faster', async () => {
    const [one, two] = await Promise.all([replicas.start('citadel-0'), replicas.start('citadel-1')]);
    const ids = rootIdsOf(await rootSecret('root-cert.pem'));
    expect(ids).toHaveLength(1);
    for (const citadel of [one, two]) {
      const status = (await (await admin(citadel, 'GET', '/ca/status')).json()) as AuthorityStatus;
      expect(status.roots.map(({ id }) => id)).toEqual(ids);
    }
  });

  test('keeps the bundle in every namespace, in new ones, and where it is changed or deleted', async () => {
    const pem = await rootSecret('root-cert.pem');
    const names = async () => {
      const { body } = await cluster.request('GET', '/api/v1/namespaces');
      return (body.items as { metadata: { name: string } }[]).map(({ metadata }) => metadata.name);
    };
    await cluster.kubectl(['create', 'namespace', 'late']);
    const left = ['kube-system', 'kube-public', 'kube-node-lease'];
    for (const name of (await names()).filter((each) => !left.includes(each)))
      await expect.poll(() => bundle(name)).toBe(pem);
    for (const name of left) expect(await bundle(name)).toBeUndefined();
    await cluster.kubectl([
      'patch',
      'configmap',
      'istio-ca-root-cert',
      '-n',
      'late',
      '-p',
      '{"data":{"root-cert.pem":"forged"}}',
    ]);
    await expect.poll(() => bundle('late')).toBe(pem);
    await cluster.request('DELETE', bundlePath('shop'));
    await expect.poll(() => bundle('shop')).toBe(pem);
    await cluster.kubectl(['delete', 'namespace', 'late', '--timeout=60s']);
    expect(await names()).not.toContain('late');
  });

  test('lets the tokens of lateen-viewer read at the admin API, and no more', async () => {
    const citadel = replicas.get('citadel-0');
    expect((await admin(citadel, 'GET', '/ca/status', 'lateen-viewer')).status).toBe(200);
    const refused = await admin(citadel, 'POST', '/ca/rotate-root?graceSeconds=0', 'lateen-viewer');
    expect(refused.status).toBe(403);
    expect(await refused.text()).toContain('sa/lateen-viewer has the role viewer, and this takes the role admin');
  });

  test('certifies the service account of a pod, as long as there is the pod', async () => {
    const citadel = replicas.get('citadel-0');
    const pod = {
      metadata: { name: 'cart-0' },
      spec: { serviceAccountName: 'cart', containers: [{ name: 'a', image: 'a' }] },
    };
    const { body } = await cluster.request('POST', '/api/v1/namespaces/shop/pods', pod);
    const { uid } = body.metadata as { uid: string };
    const bound = ['--bound-object-kind', 'Pod', '--bound-object-name', 'cart-0', '--bound-object-uid', uid];
    const shown = await token('shop', 'cart', ...bound);
    expect((await ask(citadel, shown)).spiffeId).toBe('spiffe://cluster.local/ns/shop/sa/cart');
    const entries = (await (await admin(citadel, 'GET', '/certificates')).json()) as object[];
    expect(entries).toContainEqual(
      expect.objectContaining({ event: 'issued', attestor: 'token-review', pod: 'cart-0', podUid: uid }),
    );
    await cluster.kubectl(['delete', 'pod', 'cart-0', '-n', 'shop', '--grace-period=0', '--force']);
    // What the API server said is remembered for some seconds.
    await expect
      .poll(
        () =>
          ask(citadel, shown).then(
            () => 'taken',
            (error: Error) => error.message,
          ),
        { timeout: 30_000, interval: 1_000 },
      )
      .toMatch(/UNAUTHENTICATED.*does not take the token/);
  });

  test('refuses tokens that are forged, expired or for others, and a pod that claims another service account', async () => {
    const citadel = replicas.get('citadel-1');
    const good = await token('shop', 'cart');
    const [head, payload] = good.split('.') as [string, string, string];
    const other = (await cluster.kubectl(['create', 'token', 'cart', '-n', 'shop', '--audience', 'vault'])).trim();
    await expect(ask(citadel, other)).rejects.toThrow(/UNAUTHENTICATED.*for the audience "vault", not istio-ca/);
    const plain = (await cluster.kubectl(['create', 'token', 'cart', '-n', 'shop'])).trim();
    await expect(ask(citadel, plain)).rejects.toThrow(/UNAUTHENTICATED/);

    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const encoded = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const promoted = encoded({ ...claims, sub: `system:serviceaccount:${SYSTEM}:lateen-admin` });
    await expect(ask(citadel, `${head}.${promoted}.${good.split('.')[2]}`)).rejects.toThrow(
      /UNAUTHENTICATED.*does not take the token/,
    );
    // By the cluster's own key, with and without a time that has passed.
    const key = createPrivateKey(readFileSync(join(cluster.directory, 'pki', 'service-accounts.key')));
    const signed = (changes: object) => {
      const text = `${head}.${encoded({ ...claims, ...changes })}`;
      return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
    };
    expect((await ask(citadel, signed({}))).spiffeId).toBe('spiffe://cluster.local/ns/shop/sa/cart');
    const past = Math.floor(Date.now() / 1000) - 60;
    await expect(ask(citadel, signed({ exp: past, iat: past - 600, nbf: past - 600 }))).rejects.toThrow(
      /UNAUTHENTICATED.*expired/,
    );
    await expect(ask(citadel, good, 'spiffe://cluster.local/ns/shop/sa/till' as SpiffeId)).rejects.toThrow(
      /PERMISSION_DENIED.*may not ask for a certificate of .*sa\/till/,
    );
  });

  test('says that the API server is away, renews by certificate meanwhile, and is there again with it', async () => {
    const citadel = replicas.get('citadel-0');
    const rootsPem = await rootSecret('root-cert.pem');
    const identity = await ask(citadel, await token('shop', 'cart'));
    const fresh = await token('shop', 'cart', '--duration', '11m');
    await cluster.stopApiServer();
    try {
      const { csrPem } = await createKeyAndCsr();
      const address = `127.0.0.1:${citadel.ports.grpc}`;
      const call = { address, rootsPem, serverSpiffeId: CITADEL_ID, csrPem, validitySeconds: 0 };
      await expect(requestCertificate({ ...call, token: fresh })).rejects.toThrow(/UNAVAILABLE.*attestor token-review/);
      expect(await requestCertificate({ ...call, client: identity })).not.toHaveLength(0);
    } finally {
      await cluster.startApiServer();
    }
    expect((await ask(citadel, fresh)).spiffeId).toBe('spiffe://cluster.local/ns/shop/sa/cart');
    await expect.poll(leader).toMatch(/^citadel-[01]$/);
  });

  test.each(FAULT_POINTS)('loses no root when the leader dies at %s of a rotation', async (point) => {
    await replicas.end();
    const dying = await replicas.start('citadel-2', { LATEEN_TEST_FAULT_POINT: point });
    await expect.poll(leader).toBe('citadel-2');
    const other = await replicas.start('citadel-3');
    const before = await rootSecret('root-cert.pem');
    const exited = once(dying.child, 'exit');
    // It may have begun to lead a moment ago, and it may die before it answers.
    await expect
      .poll(() =>
        admin(dying, 'POST', '/ca/rotate-root?graceSeconds=0').then(
          ({ status }) => status,
          () => 'died',
        ),
      )
      .not.toBe(409);
    expect(await exited).toEqual([null, 'SIGKILL']);
    await expect.poll(leader).toBe('citadel-3');
    const status = async () => (await (await admin(other, 'GET', '/ca/status')).json()) as AuthorityStatus;
    await expect.poll(async () => (await status()).rotation).toBeUndefined();
    const { last, roots } = await status();
    const takenBack = point.startsWith('make');
    expect(last?.outcome).toBe(takenBack ? 'rolled back' : 'completed');
    const after = await rootSecret('root-cert.pem');
    if (takenBack) expect(after).toBe(before);
    else expect(rootIdsOf(after)).toEqual([last?.to]);
    expect(roots.map(({ id }) => id)).toEqual(rootIdsOf(after));
    await expect.poll(() => bundle('shop')).toBe(after);
  });

  test('uses every permission that it is installed with', () => {
    const installed = parseAllDocuments(readFileSync(join(REPOSITORY, 'deploy/citadel/rbac.yaml'), 'utf8'))
      .map((document) => document.toJS() as { rules?: readonly Rule[] })
      .flatMap(({ rules = [] }) => rules)
      .flatMap(({ apiGroups, resources, verbs, resourceNames = [''] }) =>
        apiGroups.flatMap((group) =>
          resources.flatMap((resource) =>
            verbs.flatMap((verb) => resourceNames.map((name) => ({ group, resource, verb, name }))),
          ),
        ),
      );
    expect(installed.length).toBeGreaterThan(10);
    const used = cluster
      .auditEvents()
      .filter(({ user }) => user.username === `system:serviceaccount:${SYSTEM}:citadel`);
    const isUsed = ({ group, resource, verb, name }: (typeof installed)[number]) =>
      used.some(
        ({ verb: asked, objectRef: { apiGroup = '', ...object } = {} }) =>
          asked === verb && apiGroup === group && object.resource === resource && (name === '' || object.name === name),
      );
    expect(installed.filter((each) => !isUsed(each))).toEqual([]);
  });
});

/** Of a Role or ClusterRole. */
interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}
