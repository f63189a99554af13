// Interop tests: h2spec, the conformance tester of HTTP/2, built from its Go module where Go is there.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from '../harness/repository.js';

/** The newest version that the Go module proxy has; Go compares what it gets with its checksum database. */
const MODULE = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';

export type H2spec =
  | { readonly path: string }
  /** Why there is none, and what to do about it. */
  | { readonly missing: string };

/** Finds h2spec: the file that H2SPEC_BINARY names, the cached one, or one that `go install` builds. */
export function obtainH2spec(): H2spec {
  const named = process.env.H2SPEC_BINARY;
  if (named !== undefined && named !== '') {
    return existsSync(named) ? { path: named } : { missing: `H2SPEC_BINARY names ${named}, which does not exist` };
  }
  // Kept between runs, and removed with node_modules.
  const directory = join(REPOSITORY, 'node_modules', '.cache', 'h2spec', '2.2.1');
  const path = join(directory, 'h2spec');
  if (existsSync(path)) return { path };
  mkdirSync(directory, { recursive: true });
  const done = spawnSync('go', ['install', MODULE], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, GOBIN: directory, GO111MODULE: 'on' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (done.status === 0 && existsSync(path)) return { path };
  const reason = done.error?.message ?? done.stderr.trim();
  return { missing: `\`go install ${MODULE}\` failed: ${reason}; install Go, or set H2SPEC_BINARY` };
}
