// Kubernetes tests: the API server's own checks of definitions and objects, as a program that is built from its Go modules.

import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/repository.js';

/** What the API server says of each definition, by name, and of each object: nothing where it takes it. */
export interface ApiServerVerdicts {
  readonly definitions: Readonly<Record<string, readonly string[]>>;
  readonly objects: readonly (readonly string[])[];
}

export type ApiServerChecks = (definitions: readonly object[], objects: readonly object[]) => ApiServerVerdicts;

const MOST_BYTES = 64 * 1024 * 1024;

/** Builds the program; undefined where there is no Go, with a loud reason. @throws Error in CI, and where it does not build */
export function requireApiServerChecks(): ApiServerChecks | undefined {
  if (spawnSync('go', ['version']).status !== 0) {
    const reason = "no Go to build the API server's checks with: install it (https://go.dev/dl)";
    if (process.env.CI === 'true') throw new Error(reason);
    console.error(`\nSKIPPED: ${reason}\n`);
    return undefined;
  }
  // Kept between runs, and removed with node_modules.
  const directory = join(REPOSITORY, 'node_modules', '.cache', 'kube');
  mkdirSync(directory, { recursive: true });
  const program = join(directory, 'definitions');
  const built = spawnSync('go', ['build', '-o', program, '.'], {
    cwd: join(REPOSITORY, 'test', 'kube', 'definitions'),
    encoding: 'utf8',
  });
  if (built.status !== 0) throw new Error(`go build in test/kube/definitions failed: ${built.stderr.trim()}`);
  return (definitions, objects) => {
    const input = JSON.stringify({ definitions, objects });
    const told = spawnSync(program, { input, encoding: 'utf8', maxBuffer: MOST_BYTES });
    if (told.status !== 0) throw new Error(`the API server's checks failed: ${told.stderr}`);
    return JSON.parse(told.stdout) as ApiServerVerdicts;
  };
}
