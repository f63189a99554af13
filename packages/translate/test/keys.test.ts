// Every golden case with one thing changed at a time: what has the same key as before is the same as before.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { buildSnapshot, resolveProxyView, type SnapshotInput } from '../src/index.js';
import { KeyLog } from './key-log.js';
import { proxyOf, readMesh, TEST_ROOT } from './mesh-fixture.js';

const CASES = join(TEST_ROOT, 'cases');

/** The document with one number, truth value or duration in its spec changed, for each of these. */
function* withOneLeafChanged<T>(value: T): Iterable<T> {
  if (typeof value === 'number') yield (value + 1) as T;
  else if (typeof value === 'boolean') yield !value as T;
  else if (typeof value === 'string' && /^\d+(\.\d+)?(ms|s|m|h)$/.test(value)) yield `1${value}` as T;
  else if (typeof value === 'object' && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      for (const changed of withOneLeafChanged(child)) {
        yield (Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed }) as T;
      }
    }
  }
}

/** Each object left out in turn, each number, truth value and duration of the configuration changed, and each field of a pod that matters to others changed. */
function* variants(input: SnapshotInput): Iterable<SnapshotInput> {
  yield input;
  if (input.meshConfig !== undefined) yield { ...input, meshConfig: {} };
  const without = <T>(list: readonly T[], index: number) => list.filter((_, at) => at !== index);
  for (const [index, config] of input.configs.entries()) {
    yield { ...input, configs: without(input.configs, index) };
    for (const spec of withOneLeafChanged(config.spec)) {
      yield { ...input, configs: input.configs.with(index, { ...config, spec } as typeof config) };
    }
  }
  for (const index of input.services.keys()) yield { ...input, services: without(input.services, index) };
  for (const [index, pod] of input.workloads.entries()) {
    const rest = without(input.workloads, index);
    yield { ...input, workloads: rest };
    for (const change of [
      { ready: !pod.ready },
      { serviceAccount: 'other' },
      { labels: { ...pod.labels, version: 'other' } },
      { ports: [] },
      { serviceAddresses: {} },
      ...(pod.labels['istio-locality'] === undefined
        ? []
        : [{ labels: { ...pod.labels, 'istio-locality': 'elsewhere.z1' } }]),
    ]) {
      yield { ...input, workloads: [...rest, { ...pod, ...change }] };
    }
  }
}

describe('keys', () => {
  it.each(readdirSync(CASES).sort())('%s', (name) => {
    const input = readMesh(readFileSync(join(CASES, name, 'in.yaml'), 'utf8'));
    const log = new KeyLog();
    for (const variant of variants(input)) {
      const snapshot = buildSnapshot(variant);
      // One pod of each kind sees what there is to see.
      const pods = [input.workloads[0], input.workloads.at(-1), input.workloads.find(({ gateway }) => gateway)];
      for (const pod of new Set(pods)) {
        if (pod !== undefined) log.noteView(resolveProxyView(snapshot, proxyOf(input, `${pod.name}.${pod.namespace}`)));
      }
    }
  });
});
