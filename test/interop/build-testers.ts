// Interop tests: testers of others, unmodified: built from their Go modules where Go is there, or fetched from Maven's repository.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { REPOSITORY } from '../harness/repository.js';

/** The newest versions that the module proxy has; Go compares what it gets with its checksum database. */
const H2SPEC = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';
const GRPC_CLIENT = 'google.golang.org/grpc/interop/client@v1.76.0';
const GRPC_SERVER = 'google.golang.org/grpc/interop/server@v1.76.0';
const GRPC_JAVA_VERSION = '1.76.0';

export type Tester =
  | { readonly path: string }
  /** Why there is none, and what to do about it. */
  | { readonly missing: string };

/** Finds h2spec: the file that H2SPEC_BINARY names, the cached one, or one that `go install` builds. */
export const obtainH2spec = (): Tester => obtainGoProgram(H2SPEC, 'H2SPEC_BINARY');
/** gRPC's own interop client and server of Go. */
export const obtainGrpcClient = (): Tester => obtainGoProgram(GRPC_CLIENT, 'GRPC_INTEROP_CLIENT');
export const obtainGrpcServer = (): Tester => obtainGoProgram(GRPC_SERVER, 'GRPC_INTEROP_SERVER');

/** Kept between runs, and removed with node_modules. */
function cacheDirectory(...names: readonly string[]): string {
  const directory = join(REPOSITORY, 'node_modules', '.cache', ...names);
  mkdirSync(directory, { recursive: true });
  return directory;
}

function obtainGoProgram(module: string, variable: string): Tester {
  const named = process.env[variable];
  if (named !== undefined && named !== '') {
    return existsSync(named) ? { path: named } : { missing: `${variable} names ${named}, which does not exist` };
  }
  const [source = '', version = ''] = module.split('@');
  const directory = cacheDirectory('go-programs', `${source.replaceAll('/', '_')}-${version}`);
  const path = join(directory, basename(source));
  if (existsSync(path)) return { path };
  const done = spawnSync('go', ['install', module], {
    cwd: directory,
    encoding: 'utf8',
    env: { ...process.env, GOBIN: directory, GO111MODULE: 'on' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (done.status === 0 && existsSync(path)) return { path };
  const reason = done.error?.message ?? done.stderr.trim();
  return { missing: `\`go install ${module}\` failed: ${reason}; install Go, or set ${variable}` };
}

/** The class path of gRPC's own interop client and server of Java. */
export function obtainGrpcJava(): Tester {
  const directory = cacheDirectory('grpc-java', GRPC_JAVA_VERSION);
  const file = join(directory, 'class-path');
  const cached = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (cached !== '' && cached.split(':').every((path) => existsSync(path))) return { path: cached };
  const dependency = `<groupId>io.grpc</groupId><artifactId>grpc-interop-testing</artifactId><version>${GRPC_JAVA_VERSION}</version>`;
  writeFileSync(
    join(directory, 'pom.xml'),
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>interop</groupId><artifactId>interop</artifactId><version>1</version>
<dependencies><dependency>${dependency}</dependency></dependencies></project>\n`,
  );
  const done = spawnSync('mvn', ['-q', '-B', 'dependency:build-classpath', `-Dmdep.outputFile=${file}`], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (done.status === 0 && existsSync(file)) return { path: readFileSync(file, 'utf8') };
  const reason = done.error?.message ?? done.stdout.trim().slice(0, 500);
  return {
    missing: `Maven could not fetch grpc-interop-testing ${GRPC_JAVA_VERSION}: ${reason}; install Java and Maven`,
  };
}

/**
 * The path of a tester, or undefined where there is none and its tests are skipped, which is said loudly.
 *
 * @throws Error in CI where the toolchain is there, so that the tester could have been had
 */
export function requireTester(tester: Tester, toolchain: string, what: string): string | undefined {
  if ('path' in tester) return tester.path;
  const reason = `no ${what}: ${tester.missing}`;
  const isThere = spawnSync(toolchain, ['version'], { stdio: 'ignore' }).error === undefined;
  if (process.env.CI === 'true' && isThere) throw new Error(reason);
  console.error(`\nSKIPPED: ${reason}\n`);
  return undefined;
}
