// Tests of the objects that local mode plays: what it reads, refuses with a position, and remembers.
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestWebAuthority } from '@lateen/identity/testing';
import type { Problem } from '@lateen/istio-config';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readKubernetesDocuments } from '../documents/split-documents.js';
import { ObjectStore } from './object-store.js';

const WEB = `apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, name: http, targetPort: http-web}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations: {lateen.io/local-command: '["node", "web.js"]'}
    spec:
      serviceAccountName: web
      containers:
      - name: web
        image: web:1
        env: [{name: MODE, value: fast}]
        ports: [{containerPort: 8080, name: http-web}]
        readinessProbe: {httpGet: {path: /ready, port: http-web}, periodSeconds: 3}
`;

describe('object store', () => {
  let directory: string;
  let file: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lateen-objects-'));
    file = join(directory, 'objects.json');
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const read = (content: string) => {
    const problems: Problem[] = [];
    const { objects } = readKubernetesDocuments(
      [{ name: 'web.yaml', content, directory: '/srv' }],
      'default',
      problems,
    );
    return { objects, problems };
  };

  it('reads what local mode acts on', async () => {
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(WEB);
    const results = await store.apply(objects, problems, false);
    expect(problems).toEqual([]);
    expect(results.map(({ kind, action }) => `${kind} ${action}`)).toEqual(['Service created', 'Deployment created']);
    expect(store.objects.deployments.get('default/web')).toMatchObject({
      replicas: 2,
      directory: '/srv',
      template: {
        command: ['node', 'web.js'],
        serviceAccount: 'web',
        ports: [{ port: 8080, name: 'http-web' }],
        readinessProbe: { kind: 'http', path: '/ready', containerPort: 8080, periodMs: 3000 },
        env: [{ name: 'MODE', value: { text: 'fast' } }],
      },
    });
  });

  it('takes the headers of a probe, the time to end, and an account by its older name', async () => {
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(
      WEB.replace('serviceAccountName: web', 'serviceAccount: old\n      terminationGracePeriodSeconds: 3').replace(
        'port: http-web}, period',
        'port: http-web, httpHeaders: [{name: x-a, value: b}]}, period',
      ),
    );
    await store.apply(objects, problems, false);
    expect(problems).toEqual([]);
    expect(store.objects.deployments.get('default/web')?.template).toMatchObject({
      serviceAccount: 'old',
      terminationGraceMs: 3000,
      readinessProbe: { headers: { 'x-a': 'b' } },
    });
  });

  it('says nothing that validation does not say of fields without effect', async () => {
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(WEB.replace('image: web:1', 'workingDir: /srv'));
    await store.apply(objects, problems, true);
    expect(problems).toMatchObject([{ severity: 'warning', code: 'not-acted-on', line: 22 }]);
  });

  it('remembers across a restart and tells what changed', async () => {
    const store = await ObjectStore.open(file);
    await store.apply(read(WEB).objects, [], false);
    const again = await ObjectStore.open(file);
    expect(again.objects).toEqual(store.objects);
    const changed = read(WEB.replace('replicas: 2', 'replicas: 3'));
    const results = await again.apply(changed.objects, [], false);
    expect(results.map(({ action }) => action)).toEqual(['unchanged', 'configured']);
  });

  it('takes nothing in with an error, and a dry run takes nothing in either', async () => {
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(
      WEB.replace('annotations: {lateen.io/local-command: \'["node", "web.js"]\'}', ''),
    );
    await store.apply(objects, problems, false);
    expect(problems).toMatchObject([{ file: 'web.yaml', line: 15, severity: 'error', kind: 'Deployment' }]);
    expect(problems[0]?.message).toContain('lateen.io/local-command');
    await store.apply(read(WEB).objects, [], true);
    expect(store.list()).toEqual([]);
  });

  it('keeps the values of Secrets in a file of its own, and gives gateways what they use of them', async () => {
    const { certPem, keyPem } = await (await TestWebAuthority.create('ca')).issue({ dnsNames: ['a.example.com'] });
    const secret = (key: string) =>
      `apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\ntype: kubernetes.io/tls\nstringData: {password: hunter2}\ndata:\n` +
      `  tls.crt: ${Buffer.from(certPem).toString('base64')}\n  tls.key: ${Buffer.from(key).toString('base64')}\n`;
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(secret(keyPem));
    await store.apply(objects, problems, false);
    expect(problems).toEqual([]);
    expect(store.objects.credentials.get('default/tls')?.values).toEqual({ 'tls.crt': certPem, 'tls.key': keyPem });
    const shown = JSON.stringify([objects, store.list(), readFileSync(file, 'utf8')]);
    for (const value of ['hunter2', 'PRIVATE', Buffer.from(keyPem).toString('base64')]) {
      expect(shown).not.toContain(value);
    }
    const secretsFile = join(directory, 'secrets.json');
    expect(statSync(secretsFile).mode & 0o777).toBe(0o600);
    const again = await ObjectStore.open(file);
    expect(again.objects.credentials).toEqual(store.objects.credentials);
    const actionsOf = async (key: string) => {
      const found: Problem[] = [];
      const results = await again.apply(read(secret(key)).objects, found, false);
      return [results.map(({ action }) => action), found.map(({ message }) => message)].flat();
    };
    expect(await actionsOf(keyPem)).toEqual(['unchanged']);
    const { keyPem: foreign } = await (await TestWebAuthority.create('ca')).issue({ dnsNames: ['a.example.com'] });
    expect(await actionsOf(foreign)).toEqual([
      'configured',
      'gateways cannot use the Secret: it has a key in `tls.key` that is not that of `tls.crt`; write the pair anew',
    ]);
    await again.delete([{ kind: 'Secret', namespace: 'default', name: 'tls' }]);
    expect(readFileSync(secretsFile, 'utf8')).toBe('{}\n');
  });

  it('deletes by name; a namespace takes its objects along', async () => {
    const store = await ObjectStore.open(file);
    await store.apply(read(WEB).objects, [], false);
    expect(await store.delete([{ kind: 'Service', namespace: 'default', name: 'absent' }])).toMatchObject([
      { action: 'not found' },
    ]);
    await store.delete([{ kind: 'Namespace', namespace: '', name: 'default' }]);
    expect(store.list()).toEqual([]);
  });
});
