// Audit: which files are meant, the oldest first.

import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CliError } from '../output/cli-error.js';
import { stateLayout } from '../state/state-layout.js';

/** A proxy of several processes has a file for each worker. */
const WORKERS = /\.worker-\d+$/;
/** A file that was put aside has the time behind its name. */
const PUT_ASIDE = /\.\d{8}T\d{9}Z$/;
const DEFAULT_NAME = 'audit.log';

/** The named files, each with those of its proxy's workers and those that were put aside; in the order in which they were written. */
export function withOlderFiles(files: readonly string[]): string[] {
  const all = files.flatMap((file) => [...relatedFiles(file), file]);
  for (const file of files) {
    if (!existsSync(file)) throw new CliError(`${file}: no such file`);
  }
  return [...new Set(all)].sort((a, b) => compareAge(a, b));
}

/** The audit logs of all pods of a local mesh, of those that are gone as well. @throws CliError where there are none */
export function auditFilesOfMesh(stateDir: string): string[] {
  const { pods, root } = stateLayout(stateDir);
  const files = existsSync(pods)
    ? readdirSync(pods)
        .map((pod) => join(pods, pod, 'sidecar', DEFAULT_NAME))
        .filter((file) => existsSync(file))
    : [];
  if (files.length > 0) return withOlderFiles(files);
  throw new CliError(
    `no pod of ${root} has an audit log; turn it on with a provider lateenAudit (docs/audit-log.md), or name its files`,
  );
}

function relatedFiles(file: string): string[] {
  const directory = dirname(file);
  const name = basename(file);
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((other) => other.startsWith(`${name}.`) && (PUT_ASIDE.test(other) || WORKERS.test(other)))
    .map((other) => join(directory, other));
}

/** By what they belong to, then those put aside by their time, then the present one. */
function compareAge(a: string, b: string): number {
  const [ofA, ofB] = [a.replace(PUT_ASIDE, ''), b.replace(PUT_ASIDE, '')];
  if (ofA !== ofB) return ofA < ofB ? -1 : 1;
  if (a === ofA) return 1;
  if (b === ofB) return -1;
  return a < b ? -1 : 1;
}
