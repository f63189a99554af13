// Supervisor: waiting until what was applied runs.

import { expect, it } from 'vitest';
import { ChangeBell } from './change-bell.js';
import { type SettleParts, settle } from './settle.js';

const WEB = [{ kind: 'Deployment', namespace: 'default', name: 'web' }];

function parts(unsettled: () => string[], acknowledged = true, state = 'running'): SettleParts {
  const component = { process: { state } };
  return {
    workloads: { unsettled },
    registry: { acknowledged: async () => acknowledged },
    controlPlane: { components: new Map([['pilot', component]]) } as unknown as SettleParts['controlPlane'],
    changes: new ChangeBell(),
  };
}

it('looks again at each change, and asks Pilot last', async () => {
  const looks = [['pod web-1 (starting)'], ['pod web-1 (starting)'], []];
  const all = parts(() => looks.shift() ?? []);
  const done = settle(all, WEB, 60_000);
  for (let change = 0; change < 2; change++) {
    await new Promise((wake) => setImmediate(wake));
    all.changes.ring();
  }
  expect(await done).toEqual({ waiting: [], stopped: [] });
  expect(looks).toEqual([]);
});

it('says what is missing when the time is over', async () => {
  expect(
    await settle(
      parts(() => ['pod web-1 (crashed)']),
      WEB,
      20,
    ),
  ).toEqual({
    waiting: ['pod web-1 (crashed)'],
    stopped: [],
  });
});

it('does not wait long for a Pilot that is stopped, and says that it is', async () => {
  expect(
    await settle(
      parts(() => [], false, 'stopped'),
      WEB,
      60_000,
    ),
  ).toEqual({
    waiting: ['pilot to take the registry'],
    stopped: ['pilot'],
  });
});
