// Tests of supervised processes: restarted, stopped, and ended with a killed supervisor.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger } from '@lateen/telemetry';
import { buildSync } from 'esbuild';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManagedProcess } from './managed-process.js';
import { processExists } from './process-identity.js';
import { type Reaper, startReaper } from './reaper.js';

const WAIT = { timeout: 20_000, interval: 20 };

describe('managed process', () => {
  let directory: string;
  let reaperProgram: string;
  let reaper: Reaper;
  const started: ManagedProcess[] = [];

  const manage = (script: string): ManagedProcess => {
    const managed = new ManagedProcess({
      name: 'test',
      reaper,
      logger: createLogger('test', 'silent'),
      onChange: () => {},
      plan: async () => ({
        command: process.execPath,
        args: ['-e', script],
        workingDirectory: directory,
        env: { DIRECTORY: directory },
        logFile: join(directory, 'test.log'),
        holdsInput: false,
      }),
    });
    started.push(managed);
    return managed;
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lateen-process-'));
    reaperProgram = join(directory, 'reaper.mjs');
    const source = new URL('./reaper-main.ts', import.meta.url).pathname;
    buildSync({ entryPoints: [source], outfile: reaperProgram, bundle: true, platform: 'node', format: 'esm' });
    reaper = startReaper(reaperProgram);
  });
  afterEach(async () => {
    await Promise.all(started.splice(0).map((each) => each.stop({ signal: 'SIGKILL' })));
    await reaper.close();
    rmSync(directory, { recursive: true });
  });

  it('starts a process again after it has ended, and writes its output to the log', async () => {
    const managed = manage(`console.log('run'); process.exit(3)`);
    managed.start();
    await vi.waitFor(() => expect(managed.restarts).toBeGreaterThanOrEqual(2), WAIT);
    expect(managed.lastEnd).toBe('exit code 3');
    expect(readFileSync(join(directory, 'test.log'), 'utf8')).toMatch(/^run\nrun\n/);
  });

  it('keeps a stopped process down, and kills one that does not listen', async () => {
    const managed = manage(`process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`);
    managed.start();
    await vi.waitFor(() => expect(readFileSync(join(directory, 'test.log'), 'utf8')).toBe('up\n'), WAIT);
    const pid = managed.pid!;
    await managed.stop({ graceMs: 50 });
    expect(processExists(pid)).toBe(false);
    expect(managed.state).toBe('stopped');
    expect(managed.restarts).toBe(0);
  });

  it('says why a program could not be started', async () => {
    const managed = new ManagedProcess({
      name: 'absent',
      reaper,
      logger: createLogger('test', 'silent'),
      onChange: () => {},
      plan: async () => ({
        command: join(directory, 'absent'),
        args: [],
        workingDirectory: directory,
        env: {},
        logFile: join(directory, 'absent.log'),
        holdsInput: false,
      }),
    });
    started.push(managed);
    managed.start();
    await vi.waitFor(() => expect(managed.lastEnd).toContain('could not be started'), WAIT);
    expect(managed.state).toBe('waiting');
  });

  it('the reaper ends a process group once its input closes, and only what it still watches', async () => {
    const children: ChildProcess[] = [];
    const sleeper = () => {
      const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { detached: true, stdio: 'ignore' });
      children.push(child);
      return child.pid!;
    };
    const watched = sleeper();
    const forgotten = sleeper();
    try {
      reaper.watch(watched);
      reaper.watch(forgotten);
      reaper.forget(forgotten);
      await reaper.close();
      await vi.waitFor(() => expect(processExists(watched)).toBe(false), WAIT);
      expect(processExists(forgotten)).toBe(true);
    } finally {
      for (const child of children) child.kill('SIGKILL');
    }
  });
});
