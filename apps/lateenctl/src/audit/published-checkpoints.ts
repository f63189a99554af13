// Audit: what Citadel publishes about checkpoints: asked of it, or as it was saved in a file.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint, PublishedCheckpoints } from '@lateen/identity/checkpoints';
import type { PublishedHeads } from '@lateen/telemetry/audit/verify.js';
import type { Command } from 'commander';
import { remoteEndpoints, stateDirOf, targetOf } from '../commands/context.js';
import { publishedCheckpoints } from '../mesh/citadel-admin.js';
import { CliError } from '../output/cli-error.js';
import { stateLayout } from '../state/state-layout.js';

/** A mesh of this machine runs, or did when its machine stopped. */
export function localMeshRuns(command: Command): boolean {
  return existsSync(stateLayout(stateDirOf(command)).meshFile);
}

/**
 * By what signatures are checked: `citadel` asks it, `none` is nothing, anything else is a file. Unless told, Citadel is asked
 * where an address of it is named, and for the logs of the local mesh; what it has left on the disk stands in for it while that
 * mesh does not run.
 * @throws CliError where the file is none of Citadel's, or Citadel does not answer
 */
export async function signaturesFrom(
  source: string | undefined,
  isOwnMesh: boolean,
  command: Command,
): Promise<PublishedHeads | undefined> {
  const isRemote = remoteEndpoints(command) !== undefined;
  const chosen = source ?? (isRemote || isOwnMesh ? 'citadel' : 'none');
  if (chosen === 'none') return undefined;
  const published = await read(chosen, !isRemote && isOwnMesh && !localMeshRuns(command), command);
  if (published === undefined) return undefined;
  const { createCheckpointVerifier } = await import('@lateen/identity/checkpoints');
  return { verify: createCheckpointVerifier(published), chains: published.chains };
}

async function read(source: string, isStopped: boolean, command: Command): Promise<PublishedCheckpoints | undefined> {
  if (source !== 'citadel') return readPublished(source);
  if (isStopped) return readLeft(stateLayout(stateDirOf(command)).component('citadel'));
  return publishedCheckpoints((await targetOf(command)).controlPlane);
}

/** What Citadel keeps; undefined where it was never there. */
function readLeft(stateDir: string): PublishedCheckpoints | undefined {
  const [keys, heads] = [join(stateDir, 'checkpoint-keys.json'), join(stateDir, 'checkpoints.jsonl')];
  if (!existsSync(keys) || !existsSync(heads)) return undefined;
  // Of each chain the last line counts; one that a crash cut off nobody got an answer for.
  const chains = new Map<string, Checkpoint>();
  for (const line of readFileSync(heads, 'utf8').split('\n').slice(0, -1)) {
    const head = JSON.parse(line) as Checkpoint;
    chains.set(head.chain, head);
  }
  return { ...(JSON.parse(readFileSync(keys, 'utf8')) as PublishedCheckpoints), chains: [...chains.values()] };
}

function readPublished(file: string): PublishedCheckpoints {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new CliError(`--signatures ${file}: ${(error as Error).message}`);
  }
  const published = parse(text);
  if (Array.isArray(published?.keys) && Array.isArray(published.chains)) return published;
  throw new CliError(`${file} is not what \`lateenctl audit checkpoints\` prints: no JSON with keys and chains`);
}

function parse(text: string): PublishedCheckpoints | undefined {
  try {
    return JSON.parse(text) as PublishedCheckpoints;
  } catch {
    return undefined;
  }
}
