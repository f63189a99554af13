// Configuration: what is kept over a restart, and what a damaged file costs.

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { createLogger } from '@lateen/telemetry';
import { packAny } from '@lateen/xds-proto';
import { type ConfigResource, ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CONFIG_TYPE_URLS, MESH_CONFIG_TYPE_URL } from './config-kinds.js';
import { decodeConfig } from './config-object.js';
import { ConfigStore } from './config-store.js';

const GATEWAY = 'networking.istio.io/Gateway';
const logger = createLogger('test', 'silent');
let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'config-store-'));
});
afterEach(() => rm(directory, { recursive: true }));

function resource(kind: string, name: string, spec: unknown): ConfigResource {
  return create(ConfigResourceSchema, {
    metadata: { namespace: 'default', name, labels: { a: 'b' }, resourceVersion: '3' },
    apiVersion: 'networking.istio.io/v1',
    kind,
    specJson: JSON.stringify(spec),
    source: { file: 'g.yaml', line: 4, column: 1 },
  });
}

function update(typeUrl: string, upserts: ConfigResource[], removed: string[] = []) {
  return {
    typeUrl,
    version: '1',
    upserts: upserts.map((value) => ({
      name: `default/${value.metadata?.name}`,
      version: '3',
      value,
      any: packAny(ConfigResourceSchema, value),
    })),
    removed,
    rejected: [],
  };
}

test('is complete once every kind has come, be it empty, and so after a restart', async () => {
  let changes = 0;
  const onChange = () => {
    changes += 1;
    return changes;
  };
  const store = await ConfigStore.open(directory, logger, onChange);
  expect(store.missingKinds()).toEqual(CONFIG_TYPE_URLS);
  for (const typeUrl of CONFIG_TYPE_URLS) await store.apply(update(typeUrl, []));
  expect(store.missingKinds()).toEqual([]);
  expect(changes).toBe(CONFIG_TYPE_URLS.length);
  await store.apply(update(GATEWAY, []));
  expect(changes).toBe(CONFIG_TYPE_URLS.length);

  await store.apply(update(GATEWAY, [resource('Gateway', 'g', { servers: [] })]));
  await store.apply(update(MESH_CONFIG_TYPE_URL, [resource('MeshConfig', 'mesh', { accessLogFile: '/dev/stdout' })]));
  const again = await ConfigStore.open(directory, logger, () => 1);
  expect(again.missingKinds()).toEqual([]);
  expect(again.objects()).toEqual(store.objects());
  expect(again.objects()).toMatchObject([
    { kind: 'Gateway', metadata: { name: 'g', labels: { a: 'b' } }, spec: { servers: [] }, source: { line: 4 } },
  ]);
  expect(again.meshConfig()).toEqual({ accessLogFile: '/dev/stdout' });
  expect(again.heldVersions(GATEWAY)).toEqual(new Map([['default/g', '3']]));

  await again.apply(update(GATEWAY, [], ['default/g']));
  expect((await ConfigStore.open(directory, logger, () => 1)).objects()).toEqual([]);
});

test('a damaged file is left out, the others are used', async () => {
  const store = await ConfigStore.open(directory, logger, () => 1);
  for (const typeUrl of CONFIG_TYPE_URLS) await store.apply(update(typeUrl, []));
  const file = (await readdir(directory)).find((name) => name.includes('Gateway'))!;
  await writeFile(join(directory, file), '{"typeUrl": "');
  const again = await ConfigStore.open(directory, logger, () => 1);
  expect(again.missingKinds()).toEqual([GATEWAY]);
});

test('what is not a resource of its kind is refused, with all that is wrong', () => {
  const any = packAny(ConfigResourceSchema, create(ConfigResourceSchema, { kind: 'Sidecar', specJson: '[]' }));
  expect(() => decodeConfig(GATEWAY, any)).toThrow(/expected Gateway.*metadata.name.*spec_json/s);
});
