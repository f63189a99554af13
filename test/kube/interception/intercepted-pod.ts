// Interception tests: a pod whose proxy is the built sidecar.
import { mkdtempSync, rmSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from '../../harness/repository.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type Cast, createCast, PROXY } from './cast.js';

export interface InterceptedPod {
  readonly cast: Cast;
  /** What the sidecar has printed: `LOG CLUSTER HOST` of each connection that has ended. */
  output(): string;
  close(): Promise<void>;
}

export async function createInterceptedPod(): Promise<InterceptedPod> {
  const cast = await createCast('elsewhere');
  const directory = mkdtempSync(join(tmpdir(), 'lateen-intercepted-'));
  await chown(directory, PROXY, PROXY);
  const bootstrap = join(REPOSITORY, 'test', 'kube', 'interception', 'sidecar.yaml');
  const program = join(REPOSITORY, 'apps', 'sidecar', 'dist', 'main.js');
  const output = cast.pod.startProxy([program, '-c', bootstrap, '--state-dir', join(directory, 'state')]);
  try {
    await waitUntil(
      'the sidecar',
      () => cast.pod.tryRun(['sh', '-c', 'ss -Htln sport = :15006 | grep -q .']).exitCode === 0,
    );
  } catch (error) {
    await cast.close();
    throw new Error(`${(error as Error).message}: ${output()}`);
  }
  return {
    cast,
    output,
    async close() {
      await cast.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
