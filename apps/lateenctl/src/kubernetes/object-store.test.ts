// Tests of the objects that local mode plays: what it reads, refuses with a position, and remembers.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

  it('refuses Secrets by name, and keeps and says nothing of their values', async () => {
    const store = await ObjectStore.open(file);
    const { objects, problems } = read(
      'apiVersion: v1\nkind: Secret\nmetadata: {name: tls}\nstringData: {password: hunter2}\n',
    );
    await store.apply(objects, problems, false);
    expect(problems.filter(({ severity }) => severity === 'error')).toMatchObject([
      { line: 2, kind: 'Secret', name: 'tls', path: 'kind', code: 'unsupported' },
    ]);
    expect(JSON.stringify([objects, problems, store.list()])).not.toContain('hunter2');
    expect(store.list()).toEqual([]);
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
