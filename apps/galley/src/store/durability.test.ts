// Durability: a process killed before any of its file operations leaves the old configuration or the new, never a mixture.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ConfigStore } from './config-store.js';

let directory: string;
let child: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-durability-'));
  child = join(directory, 'crash-child.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'crash-child.ts')],
    outfile: child,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
  });
});
afterAll(() => rm(directory, { recursive: true }));

function run(stateDir: string, revision: number, killAt: number): Promise<{ output: string; signal: string | null }> {
  return new Promise((resolve, reject) => {
    const process_ = spawn(process.execPath, [child, stateDir, String(revision), String(killAt)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    process_.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    process_.once('error', reject);
    process_.once('close', (_code, signal) => resolve({ output, signal }));
  });
}

/** The revision that the whole state agrees on. */
async function revisionOf(stateDir: string): Promise<number> {
  const store = await ConfigStore.open({ stateDir, onFatal: () => undefined });
  const resources = [...store.state.resources.values()];
  const revisions = new Set(resources.map(({ spec }) => (spec as { revision: number }).revision));
  expect(revisions.size).toBe(1);
  const [revision] = revisions;
  expect(resources.map(({ name }) => name).sort()).toEqual(['one', `only-${revision}`, 'two']);
  // Nothing is left over that the next start would have to deal with.
  expect((await readdir(stateDir)).sort()).toEqual(['config', 'version']);
  expect((await readdir(stateDir, { recursive: true })).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  return revision as number;
}

it('survives a kill at every operation', { timeout: 180_000 }, async () => {
  const stateDir = join(directory, 'state');
  const first = await run(stateDir, 1, 0);
  const operations = Number(/^done (\d+)$/m.exec((await run(stateDir, 2, 0)).output)?.[1]);
  expect(first.output).toMatch(/^done/);
  expect(operations).toBeGreaterThan(20);
  let revision = 2;
  let finished = 0;
  for (let killAt = 1; killAt <= operations; killAt++) {
    const { output, signal } = await run(stateDir, revision + 1, killAt);
    expect([output, signal]).toEqual(['', 'SIGKILL']);
    const found = await revisionOf(stateDir);
    expect([revision, revision + 1]).toContain(found);
    if (found > revision) finished++;
    revision = found;
  }
  // Both outcomes were seen: before the decision the old state, after it the new one.
  expect(finished).toBeGreaterThan(5);
  expect(finished).toBeLessThan(operations);
  const { output } = await run(stateDir, revision + 1, 0);
  expect(output).toMatch(/^done/);
  expect(await revisionOf(stateDir)).toBe(revision + 1);
});
