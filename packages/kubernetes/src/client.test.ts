// Calls and their errors, and access from a kubeconfig's file.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadClusterAccess } from './access/cluster-access.js';
import { type ApiError, isAlreadyExists, isConflict, isNotFound } from './api-error.js';
import { KubeClient } from './client.js';
import type { CustomResource } from './objects.js';
import { type ResourceType, resourceTypes } from './resource-type.js';
import { FakeApiServer } from './testing/fake-api-server.js';

const things: ResourceType<CustomResource<{ size: number }, { seen?: number }>> = {
  group: 'example.com',
  version: 'v1',
  kind: 'Thing',
  plural: 'things',
  namespaced: true,
};
const ref = { namespace: 'shop', name: 'a' };
let server: FakeApiServer;
let client: KubeClient;

beforeEach(async () => {
  server = await FakeApiServer.start();
  server.serve(things);
  client = server.client();
});
afterEach(() => server.stop());

describe('calls', () => {
  it('create, read, replace, patch, and delete', async () => {
    const created = await client.create(things, { metadata: ref, spec: { size: 1 } });
    expect(created).toMatchObject({ apiVersion: 'example.com/v1', kind: 'Thing', spec: { size: 1 } });
    const updated = await client.update(things, { ...created, spec: { size: 2 } });
    await expect(client.update(things, { ...created, spec: { size: 3 } })).rejects.toSatisfy(isConflict);
    await client.patch(things, ref, { merge: { status: { seen: 2 } } }, { subresource: 'status' });
    await client.patch(things, ref, { merge: { spec: { size: 4 }, status: { seen: 9 } } });
    expect(await client.get(things, ref)).toMatchObject({ spec: { size: 4 }, status: { seen: 2 } });
    await client.patch(things, ref, {
      json: [
        { op: 'test', path: '/spec/size', value: 4 },
        { op: 'replace', path: '/spec/size', value: 5 },
      ],
    });
    expect((await client.get(things, ref)).spec?.size).toBe(5);
    await client.patch(
      things,
      { ...ref, name: 'b' },
      { apply: { metadata: { name: 'b' }, spec: { size: 1 } } },
      { fieldManager: 'test' },
    );
    expect((await client.listAll(things)).items.map(({ metadata, kind }) => [kind, metadata.name])).toEqual([
      ['Thing', 'a'],
      ['Thing', 'b'],
    ]);
    expect(updated.metadata.uid).toBe(created.metadata.uid);
    await client.delete(things, ref);
    await expect(client.get(things, ref)).rejects.toSatisfy(isNotFound);
  });

  it('change nothing in a dry run', async () => {
    await client.create(things, { metadata: ref, spec: { size: 1 } }, { dryRun: true });
    expect((await client.list(things)).items).toEqual([]);
  });

  it('tell by code, reason and text what went wrong', async () => {
    await client.create(things, { metadata: ref });
    const error = await client.create(things, { metadata: ref }).catch((caught: unknown) => caught);
    expect(error).toSatisfy(isAlreadyExists);
    expect(error).not.toSatisfy(isConflict);
    expect(error).toMatchObject({ code: 409, reason: 'AlreadyExists' });
    expect((error as ApiError).message).toBe('create Thing shop/a: things "a" already exists (409 AlreadyExists)');
    await expect(client.get(things, { name: 'a' })).rejects.toThrow('Thing a needs a namespace');
    server.intercept = (_request, response) => Boolean(response.writeHead(502).end('<html>no</html>'));
    await expect(client.list(things)).rejects.toThrow('list Thing: <html>no</html> (502)');
    server.intercept = (_request, response) => Boolean(response.writeHead(200).end('{"items": ['));
    await expect(client.list(things)).rejects.toThrow('list Thing: the answer is not JSON');
  });

  it('find out what is served', async () => {
    expect(await client.discover('example.com', 'v1')).toMatchObject([
      { name: 'things', kind: 'Thing', namespaced: true },
    ]);
    expect(await client.discover('example.com', 'v2')).toEqual([]);
    expect((await client.discover('', 'v1')).map(({ name }) => name)).toContain('pods');
  });
});

describe('access', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lateen-kubeconfig-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  const kubeconfig = (extra = '') => `
apiVersion: v1
kind: Config
current-context: one
clusters:
- {name: fake, cluster: {server: '${server.url}', insecure-skip-tls-verify: true}}
contexts:
- {name: one, context: {cluster: fake, user: me, namespace: shop}}
- {name: other, context: {cluster: nowhere, user: me}}
users:
- name: me
  user: ${extra || '{token: secret}'}
`;
  const write = async (text: string) => {
    const file = join(directory, 'config');
    await writeFile(file, text);
    return file;
  };

  it('is who the kubeconfig says, in its namespace', async () => {
    const access = await loadClusterAccess({ kubeconfig: await write(kubeconfig()) });
    expect(access).toMatchObject({ server: server.url, context: 'one', namespace: 'shop' });
    let token: string | undefined;
    server.intercept = (request) => {
      token = request.headers.authorization;
      return false;
    };
    await new KubeClient(access).list(resourceTypes.pods);
    expect(token).toBe('Bearer secret');
    access.close();
  });

  it('reads a plugin’s token', async () => {
    const answer = {
      apiVersion: 'client.authentication.k8s.io/v1',
      kind: 'ExecCredential',
      status: { token: 'fresh' },
    };
    const user = { exec: { apiVersion: answer.apiVersion, command: 'echo', args: [JSON.stringify(answer)] } };
    const access = await loadClusterAccess({ kubeconfig: await write(kubeconfig(JSON.stringify(user))) });
    let token: string | undefined;
    server.intercept = (request) => {
      token = request.headers.authorization;
      return false;
    };
    await new KubeClient(access).list(resourceTypes.pods);
    expect(token).toBe('Bearer fresh');
    access.close();
  });

  it('says which file, context or mount is missing', async () => {
    const file = await write(kubeconfig());
    await expect(loadClusterAccess({ kubeconfig: join(directory, 'no') })).rejects.toThrow(/no cannot be used: ENOENT/);
    await expect(loadClusterAccess({ kubeconfig: file, context: 'x' })).rejects.toThrow(
      'the context x is not in the kubeconfig; it has: one, other',
    );
    await expect(loadClusterAccess({ kubeconfig: file, context: 'other' })).rejects.toThrow(
      'the cluster of the context',
    );
    await expect(loadClusterAccess({ inCluster: true })).rejects.toThrow('--kubeconfig FILE');
  });
});
