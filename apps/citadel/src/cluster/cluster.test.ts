// Several Citadels of one cluster: one root, one writer, the same bundle in every namespace, whatever others do to them.
import { rootIdsOf } from '@lateen/identity';
import { createRootCertificate } from '@lateen/identity/authority';
import { resourceTypes } from '@lateen/kubernetes';
import type { AuthorityStatus } from '@lateen/telemetry';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Citadel } from '../pipeline.js';
import { silent } from '../testing/running-citadel.js';
import { ClusterTest, SYSTEM } from '../testing/running-cluster.js';
import { NotTheWriterError, SecretRootStore } from './secret-root-store.js';

let test: ClusterTest;
beforeEach(async () => {
  test = await ClusterTest.create();
});
afterEach(() => test.end());

const base64 = (text: string) => Buffer.from(text).toString('base64');

async function admin(citadel: Citadel, path: string, method = 'GET'): Promise<Response> {
  const identity = await test.citadel.identityBy(citadel, test.token(SYSTEM, 'lateen-admin'));
  return test.citadel.adminAs(citadel, identity, path, method);
}

async function status(citadel: Citadel): Promise<AuthorityStatus> {
  return (await (await admin(citadel, '/ca/status')).json()) as AuthorityStatus;
}

const leads = (podName: string) => expect.poll(() => test.leader(), { timeout: 10_000 }).toBe(podName);

describe('the root', () => {
  it('is made once by two replicas that race for it, and never anew', async () => {
    const [one, two] = await Promise.all([test.start('citadel-0'), test.start('citadel-1')]);
    expect(one.bundlePem()).toBe(two.bundlePem());
    expect(test.rootSecret('root-cert.pem')).toBe(one.bundlePem());
    expect(test.rootSecret('ca-cert.pem')).toBe(one.bundlePem());
    expect(test.secret('istio-ca-secret')!.type).toBe('istio.io/ca-root');
    await one.stop();
    await two.stop();
    const third = await test.start('citadel-2');
    expect(third.bundlePem()).toBe(one.bundlePem());
  });

  it('is taken over from Istio, which keeps no state beside it', async () => {
    const { keyPem, certPem } = await createRootCertificate({
      trustDomain: 'cluster.local',
      ttlSeconds: 3600,
      keyType: 'rsa-2048',
    });
    const data = {
      'ca-cert.pem': base64(certPem),
      'ca-key.pem': base64(keyPem),
      'cert-chain.pem': '',
      'root-cert.pem': '',
    };
    test.api.put(resourceTypes.secrets, { metadata: { namespace: SYSTEM, name: 'istio-ca-secret' }, data });
    const citadel = await test.start('citadel-0');
    expect(citadel.bundlePem()).toBe(certPem);
  });

  it.each([
    ['ca-key.pem', 'nonsense', /ca-key.pem of Secret istio-system\/istio-ca-secret is not a private key/],
    ['ca-cert.pem', undefined, /ca-cert.pem of Secret istio-system\/istio-ca-secret is missing/],
    ['authority.json', '{', /authority.json of Secret istio-system\/istio-ca-secret is damaged/],
  ])('is not made anew because %s is damaged', async (key, text, message) => {
    const first = await test.start('citadel-0');
    await first.stop();
    const secret = test.secret('istio-ca-secret')!;
    const { [key]: _, ...data } = secret.data!;
    const damaged = { ...secret, data: text === undefined ? data : { ...data, [key]: base64(text) } };
    test.api.put(resourceTypes.secrets, damaged);
    await expect(test.start('citadel-1')).rejects.toThrow(message);
    expect(test.secret('istio-ca-secret')!.data).toEqual(damaged.data);
  });

  it('is not made anew where workloads have one already, whose Secret is gone', async () => {
    const first = await test.start('citadel-0');
    await expect.poll(() => test.bundle(SYSTEM), { timeout: 10_000 }).toBe(first.bundlePem());
    await first.stop();
    test.api.remove(resourceTypes.secrets, SYSTEM, 'istio-ca-secret');
    await expect(test.start('citadel-1')).rejects.toThrow(
      /istio-ca-secret is missing while ConfigMap istio-system\/istio-ca-root-cert has a root/,
    );
    expect(test.secret('istio-ca-secret')).toBeUndefined();
  });

  it('is put back by the leader when the Secret is deleted under it, and damage under it is not taken over', async () => {
    const citadel = await test.start('citadel-0');
    await leads('citadel-0');
    await expect.poll(() => test.bundle(SYSTEM), { timeout: 10_000 }).toBe(citadel.bundlePem());
    test.api.remove(resourceTypes.secrets, SYSTEM, 'istio-ca-secret');
    await expect.poll(() => test.rootSecret('root-cert.pem'), { timeout: 10_000 }).toBe(citadel.bundlePem());
    const follower = await test.start('citadel-1');
    const secret = test.secret('istio-ca-secret')!;
    test.api.put(resourceTypes.secrets, { ...secret, data: { ...secret.data, 'ca-key.pem': base64('damaged') } });
    await expect
      .poll(async () => (await status(follower)).problem, { timeout: 10_000 })
      .toMatch(/ca-key.pem of Secret/);
    expect(follower.bundlePem()).toBe(citadel.bundlePem());
  });

  it('is kept under a passphrase', async () => {
    const plain = await test.start('citadel-0');
    await plain.stop();
    expect(test.rootSecret('ca-key.pem')).toContain('BEGIN PRIVATE KEY');
    const citadel = await test.start('citadel-1', { passphrase: 'secret' });
    // From the first leader with a passphrase on.
    await expect
      .poll(() => test.rootSecret('ca-key.pem'), { timeout: 10_000 })
      .toContain('BEGIN ENCRYPTED PRIVATE KEY');
    expect(citadel.bundlePem()).toBe(plain.bundlePem());
    await citadel.stop();
    await expect(test.start('citadel-2', { passphrase: 'wrong' })).rejects.toThrow(/cannot be decrypted/);
    await expect(test.start('citadel-2')).rejects.toThrow(/is encrypted, and no passphrase was given/);
    const again = await test.start('citadel-2', { passphrase: 'secret' });
    expect(again.bundlePem()).toBe(plain.bundlePem());
  });

  it('gives way to a plugged-in CA that is there at the start', async () => {
    const { keyPem, certPem } = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
    const data = { 'ca-cert.pem': base64(certPem), 'ca-key.pem': base64(keyPem), 'root-cert.pem': base64(certPem) };
    const put = (more: object) =>
      test.api.put(resourceTypes.secrets, {
        metadata: { namespace: SYSTEM, name: 'cacerts' },
        data: { ...data, ...more },
      });
    put({});
    const citadel = await test.start('citadel-0');
    expect(citadel.bundlePem()).toBe(certPem);
    expect(test.secret('istio-ca-secret')).toBeUndefined();
    await expect.poll(() => test.bundle(SYSTEM), { timeout: 10_000 }).toBe(certPem);
    expect((await admin(citadel, '/ca/rotate-root?graceSeconds=1', 'POST')).status).toBe(409);
    put({ 'ca-key.pem': base64('damaged') });
    await expect.poll(async () => (await status(citadel)).problem, { timeout: 10_000 }).toMatch(/ca-key.pem/);
    const other = await createRootCertificate({ trustDomain: 'cluster.local', ttlSeconds: 3600 });
    put({ 'root-cert.pem': base64(certPem + other.certPem) });
    await expect.poll(() => test.bundle(SYSTEM), { timeout: 10_000 }).toBe(certPem + other.certPem);
  });
});

describe('a rotation', () => {
  it('is written by the leader, followed by all, and taken on when the leader goes', async () => {
    const one = await test.start('citadel-0');
    await leads('citadel-0');
    const two = await test.start('citadel-1');
    test.namespace('shop');
    const old = one.bundlePem();
    const elsewhere = await admin(two, '/ca/rotate-root?graceSeconds=3', 'POST');
    expect(elsewhere.status).toBe(409);
    expect(await elsewhere.text()).toContain('ask citadel-0');
    expect((await admin(one, '/ca/rotate-root?graceSeconds=3', 'POST')).status).toBe(200);
    await expect.poll(() => rootIdsOf(two.bundlePem()).length).toBe(2);
    await expect.poll(() => test.bundle('shop'), { timeout: 10_000 }).toBe(two.bundlePem());
    expect((await status(two)).rotation?.step).toBe('distribute');
    await one.stop();
    await leads('citadel-1');
    await expect.poll(() => rootIdsOf(two.bundlePem()).length, { timeout: 20_000 }).toBe(1);
    expect(two.bundlePem()).not.toBe(old);
    await expect.poll(() => test.bundle('shop'), { timeout: 10_000 }).toBe(two.bundlePem());
    await expect.poll(async () => (await status(two)).last?.outcome, { timeout: 10_000 }).toBe('completed');
    // The old root's key is gone with it.
    expect(Object.keys(test.secret('istio-ca-secret')!.data!).sort()).toEqual([
      'authority.json',
      'ca-cert.pem',
      'ca-key.pem',
      'cert-chain.pem',
      'root-cert.pem',
    ]);
    expect(test.rootSecret('ca-cert.pem')).toBe(two.bundlePem());
  }, 60_000);

  it('cannot be written by a replica that has been overtaken', async () => {
    const citadel = await test.start('citadel-9');
    await citadel.stop();
    const storeOf = (writer: string) =>
      new SecretRootStore({
        ...{ client: test.api.client(), namespace: SYSTEM, passphrase: undefined, logger: silent, writer },
        mayWrite: () => undefined, // as if it had not noticed
      });
    const [former, latter] = [storeOf('citadel-0'), storeOf('citadel-1')];
    const { state } = await former.claim('a');
    // Labels and the like are nobody's business.
    const secret = test.secret('istio-ca-secret')!;
    test.api.put(resourceTypes.secrets, { ...secret, metadata: { ...secret.metadata, labels: { backup: 'yes' } } });
    await former.commit(state);
    await latter.claim('b');
    await expect(former.commit({ ...state, trusted: [] })).rejects.toThrow(NotTheWriterError);
    await latter.commit(state);
    expect(test.secret('istio-ca-secret')!.metadata.labels).toEqual({ backup: 'yes' });
  });
});

describe('trust bundles', () => {
  it('are in every namespace, in new ones too, and put back when changed or deleted', async () => {
    for (const name of ['shop', 'kube-system', 'leaving']) test.namespace(name);
    test.api.put(resourceTypes.namespaces, {
      metadata: { name: 'leaving', deletionTimestamp: new Date().toISOString() },
      status: { phase: 'Terminating' },
    });
    const citadel = await test.start('citadel-0');
    const isThere = (namespace: string) =>
      expect.poll(() => test.bundle(namespace), { timeout: 10_000 }).toBe(citadel.bundlePem());
    await isThere('shop');
    await isThere(SYSTEM);
    test.namespace('late');
    await isThere('late');
    const changed = test.api.get(resourceTypes.configMaps, 'shop', 'istio-ca-root-cert')!;
    test.api.put(resourceTypes.configMaps, { ...changed, data: { 'root-cert.pem': 'nonsense', note: 'kept' } });
    await isThere('shop');
    expect(test.api.get(resourceTypes.configMaps, 'shop', 'istio-ca-root-cert')!.data!.note).toBe('kept');
    test.api.remove(resourceTypes.configMaps, 'late', 'istio-ca-root-cert');
    await isThere('late');
    expect(test.bundle('kube-system')).toBeUndefined();
    expect(test.bundle('leaving')).toBeUndefined();
    expect(test.api.requests.filter((each) => /^POST .*(kube-system|leaving)\/configmaps/.test(each))).toEqual([]);
  }, 30_000);

  it('are not asked for again and again where the namespace goes meanwhile', async () => {
    const refused: string[] = [];
    const { intercept } = test.api;
    test.api.intercept = (request, response, url) => {
      if (request.method === 'POST' && url.pathname.endsWith('/namespaces/going/configmaps')) {
        refused.push(url.pathname);
        const details = { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] };
        response.writeHead(403, { 'content-type': 'application/json' });
        response.end(
          JSON.stringify({ kind: 'Status', code: 403, reason: 'Forbidden', message: 'being terminated', details }),
        );
        return true;
      }
      return intercept!(request, response, url);
    };
    test.namespace('going');
    test.namespace('shop');
    const citadel = await test.start('citadel-0');
    await expect.poll(() => test.bundle('shop'), { timeout: 10_000 }).toBe(citadel.bundlePem());
    test.namespace('later'); // whatever would be tried again is tried by the time that this one has been served
    await expect.poll(() => test.bundle('later'), { timeout: 10_000 }).toBe(citadel.bundlePem());
    expect(refused).toHaveLength(1);
    expect(await test.citadel.metric(citadel, 'citadel_leader')).toBe(1);
  });
});
