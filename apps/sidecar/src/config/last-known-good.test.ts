// Last-known-good: what is kept comes back, and damaged files are ignored by name.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { packAny, TYPE_URL } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LastKnownGood } from './last-known-good.js';
import { EMPTY_STATE, type ResourceState } from './store/resource-state.js';
import { edsCluster, endpoints, rdsListener, routes } from './store/test-resources.js';

let stateDir: string;
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'lateen-kept-'));
});
afterEach(() => rmSync(stateDir, { recursive: true, force: true }));

const STATE: ResourceState = {
  ...EMPTY_STATE,
  [TYPE_URL.cluster]: new Map([['c', edsCluster('c')]]),
  [TYPE_URL.endpoint]: new Map([['c', endpoints('c')]]),
  [TYPE_URL.listener]: new Map([['l', rdsListener('l', 'r')]]),
  [TYPE_URL.route]: new Map([['r', routes('r', 'c')]]),
};

function open(nodeId = 'n1') {
  const log = vi.fn();
  return { log, kept: new LastKnownGood({ stateDir, nodeId, log }) };
}

async function save(state = STATE): Promise<string> {
  const { kept } = open();
  kept.save(state);
  await kept.flush();
  return kept.file;
}

describe('LastKnownGood', () => {
  it('gives back what was kept, with versions, readable by the owner only', async () => {
    const file = await save();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const state = await open().kept.load();
    expect([...(state?.[TYPE_URL.listener].keys() ?? [])]).toEqual(['l']);
    expect(state?.[TYPE_URL.cluster].get('c')?.version).toBe('1');
    expect(state?.[TYPE_URL.endpoint].get('c')?.value.clusterName).toBe('c');
    const kept = state?.[TYPE_URL.route].get('r')?.any.value ?? new Uint8Array();
    expect(Buffer.compare(kept, STATE[TYPE_URL.route].get('r')?.any.value ?? kept)).toBe(0);
  });

  it('is empty where nothing was kept', async () => {
    const { kept, log } = open();
    expect(await kept.load()).toBeUndefined();
    expect(log).not.toHaveBeenCalled();
  });

  it.each([
    ['a changed byte', (bytes: Buffer) => bytes.fill(0x41, bytes.length - 3, bytes.length - 2), 'checksum'],
    ['a cut file', (bytes: Buffer) => bytes.subarray(0, bytes.length - 5), 'checksum'],
    ['no header', () => Buffer.from('nonsense'), 'header'],
  ])('ignores %s and says which file', async (_, damage, reason) => {
    const file = await save();
    writeFileSync(file, damage(readFileSync(file)));
    const { kept, log } = open();
    expect(await kept.load()).toBeUndefined();
    expect(log).toHaveBeenCalledWith('warn', expect.any(String), { file, reason: expect.stringContaining(reason) });
  });

  it('ignores what was kept for another proxy', async () => {
    await save();
    expect(await open('n2').kept.load()).toBeUndefined();
  });

  it('drops single resources that this version does not accept', async () => {
    const message = create(ClusterSchema, { name: 'bad', outlierDetection: {} });
    const bad = { ...edsCluster('bad'), any: packAny(ClusterSchema, message) };
    await save({ ...STATE, [TYPE_URL.cluster]: new Map([...STATE[TYPE_URL.cluster], ['bad', bad]]) });
    const { kept, log } = open();
    expect([...((await kept.load())?.[TYPE_URL.cluster].keys() ?? [])]).toEqual(['c']);
    expect(log.mock.calls[0]?.[2]).toMatchObject({
      resource: 'bad',
      reason: expect.stringContaining('outlier_detection'),
    });
  });

  it('writes changes that come together once, and the last one wins', async () => {
    const { kept } = open();
    kept.save(STATE);
    kept.save(EMPTY_STATE);
    await vi.waitFor(() => statSync(kept.file));
    expect((await open().kept.load())?.[TYPE_URL.listener].size).toBe(0);
  });
});
