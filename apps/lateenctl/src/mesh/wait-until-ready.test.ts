// Tests of waiting for what was started.
import { describe, expect, it } from 'vitest';
import type { MeshStatus, ProcessStatus } from '../control/control-api.js';
import { waitUntilConnected, waitUntilStarted } from './wait-until-ready.js';

function processOf(name: string, fields: Partial<ProcessStatus> = {}): ProcessStatus {
  const nothing = { namespace: '', pod: '', pid: 1, restarts: 0, lastEnd: '', startedAt: null, address: '', ports: {} };
  return { ...nothing, name, kind: 'app', logFile: '', state: 'running', ready: true, reason: '', ...fields };
}

/** Answers with one state of the mesh after the other; the last one stays. */
function statuses(...each: readonly ProcessStatus[][]): () => Promise<MeshStatus> {
  let call = 0;
  return async () => ({ processes: each[Math.min(call++, each.length - 1)] }) as unknown as MeshStatus;
}

const STARTING = { ready: false, reason: 'connect ECONNREFUSED' } as const;
const STOPPED = { state: 'stopped', ready: false } as const;

describe('waiting for what was started', () => {
  it('returns once all of it is ready, whatever else is not', async () => {
    const others = processOf('default/other/app', STARTING);
    const status = statuses([processOf('pilot', STARTING), others], [processOf('pilot'), others]);
    expect(await waitUntilStarted(status, ['pilot'], 10_000)).toEqual({ waiting: [], stoppedComponents: [] });
  });

  it('does not take a process for ready that does not run', async () => {
    const status = statuses([processOf('pilot', { state: 'waiting', ready: true, lastEnd: 'exit code 1' })]);
    await expect(waitUntilStarted(status, ['pilot'], 0)).rejects.toThrow('not ready in time: pilot (exit code 1)');
  });

  it('says what is missing when the time is over', async () => {
    const status = statuses([processOf('default/web/app', STARTING), processOf('default/web/sidecar')]);
    await expect(waitUntilStarted(status, ['default/web/app', 'default/web/sidecar'], 0)).rejects.toThrow(
      'not ready in time: default/web/app (connect ECONNREFUSED). It is still being started',
    );
  });

  it('does not wait for parts of the control plane that are stopped', async () => {
    const status = statuses([processOf('pilot', STARTING), processOf('galley', STOPPED)]);
    expect(await waitUntilStarted(status, ['pilot'], 10_000, 0)).toEqual({
      waiting: ['pilot (connect ECONNREFUSED)'],
      stoppedComponents: ['galley'],
    });
  });

  it('waits no more for what has gone', async () => {
    expect((await waitUntilStarted(statuses([]), ['default/web/app'], 0)).waiting).toEqual([]);
  });
});

describe('waiting for sidecars to connect', () => {
  const sidecar = (pod: string, fields: Partial<ProcessStatus> = {}) =>
    processOf(`default/${pod}/sidecar`, { kind: 'sidecar', namespace: 'default', pod, ...fields });
  const status = statuses([sidecar('web'), sidecar('shop'), sidecar('down', STOPPED), processOf('default/web/app')]);

  it('returns once Pilot knows each that runs', async () => {
    const known = [[], ['web.default'], ['web.default', 'shop.default']];
    expect(await waitUntilConnected(status, async () => known.shift() ?? [], 10_000)).toEqual([]);
    expect(known).toEqual([]);
  });

  it('names the others when the time is over', async () => {
    expect(await waitUntilConnected(status, async () => ['web.default'], 0)).toEqual(['shop.default']);
  });
});
