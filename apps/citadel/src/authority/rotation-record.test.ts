// A rotation whose step is decided and cannot be recorded: the process ends, so that a restart goes on or takes it back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { silent } from '../testing/running-citadel.js';
import { DirectoryRootStore } from './directory-root-store.js';
import { Holders } from './holders.js';
import { OwnRoots } from './own-roots.js';
import { RootRotation } from './root-rotation.js';
import { takeStateLease } from './state-lease.js';

it.each(['make', 'distribute'])('ends the process where the step %s cannot be recorded', async (unrecorded) => {
  const stateDir = await mkdtemp(join(tmpdir(), 'lateen-rotation-'));
  const lease = await takeStateLease(stateDir);
  const open = () =>
    OwnRoots.open({
      store: new DirectoryRootStore({ stateDir, passphrase: undefined, lease, logger: silent }),
      trustDomain: 'cluster.local',
      ttlSeconds: 3600,
      keyType: 'ecdsa-p256',
      logger: silent,
    });
  const failures: Error[] = [];
  const rotationOf = (roots: OwnRoots, record: (step: string) => Promise<void>) =>
    new RootRotation({
      roots,
      holders: new Holders(),
      readHolders: async () => undefined,
      record,
      settleMs: 0,
      logger: silent,
      onFailure: (error) => failures.push(error),
    });
  try {
    const full = rotationOf(await open(), async (step) => {
      if (step === unrecorded) throw new Error('the disk is full');
    });
    await expect(full.start(1, 'somebody')).rejects.toThrow('the disk is full');
    expect(failures).toMatchObject([{ message: 'the disk is full' }]);
    const roots = await open();
    const next = rotationOf(roots, async () => undefined);
    await next.resume();
    if (unrecorded === 'make') expect(next.status.last?.outcome).toBe('rolled back');
    else expect(next.status.rotation?.step).toBe('distribute');
    expect(roots.state.trusted).toHaveLength(unrecorded === 'make' ? 1 : 2);
    await next.stop();
  } finally {
    await lease.release();
    await rm(stateDir, { recursive: true });
  }
});
