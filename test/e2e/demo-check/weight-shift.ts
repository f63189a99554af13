// Demo check, acceptance line 2: weights to a subset that did not exist before, there and back under load.

import { type Check, CheckFailure, require, sleep, until } from './check.js';
import type { MeshUnderTest } from './mesh-under-test.js';
import { OpenLoad, type Sample } from './open-load.js';

const REQUESTS_PER_SECOND = 500;
/** Shares have to be right from this long after `apply` has answered; they are counted over the second that follows. */
const SETTLE_MS = 1000;
const WINDOW_MS = 1000;
const MIN_SHARE = 0.4;
const MAX_SHARE = 0.6;
const START_LIMIT_MS = 10_000;

const SHIFTED = ['examples/bookinfo/reviews-v3.yaml'];
const HANDBOOK = ['examples/handbook/destination-rule-reviews.yaml', 'examples/handbook/virtual-service-reviews.yaml'];

/** The check with a number of times there and back. */
export function weightShiftCheck(rounds: number): Check {
  return {
    line: 2,
    name: `weights 50/50 between v1 and a new subset v3, ${rounds} times there and back under load`,
    run: (mesh) => shiftWeights(mesh, rounds),
  };
}

async function shiftWeights(mesh: MeshUnderTest, rounds: number): Promise<string> {
  const url = `${await mesh.serviceUrl('reviews')}/reviews/0`;
  require(!(await knowsV3(mesh)), 'productpage knows a cluster for v3 before it was applied');
  const load = new OpenLoad(url, REQUESTS_PER_SECOND);
  const shares: number[] = [];
  try {
    await until(START_LIMIT_MS, async () => require(load.samples.length > 0, 'no request was answered'));
    for (let round = 1; round <= rounds; round++) {
      await mesh.apply(...SHIFTED);
      const there = await shareOfV3(load);
      require(there >= MIN_SHARE && there <= MAX_SHARE, `round ${round}: v3 gets ${percent(there)}, not 40 to 60 %`);
      shares.push(there);
      if (round === 1) require(await knowsV3(mesh), 'productpage has no cluster for v3');
      await mesh.apply(...HANDBOOK);
      const back = await shareOfV3(load);
      require(back === 0, `round ${round}, back again: v3 still gets ${percent(back)}`);
      refuseFailures(load.samples);
    }
  } finally {
    await load.stop();
    await mesh.apply(...HANDBOOK);
  }
  refuseFailures(load.samples);
  const fresh = load.samples.filter(({ freshConnection }) => freshConnection).length;
  const range = `${percent(Math.min(...shares))} to ${percent(Math.max(...shares))}`;
  return `v3 ${range}; ${load.samples.length} requests, ${fresh} on fresh connections, none failed`;
}

async function shareOfV3(load: OpenLoad): Promise<number> {
  const fromMs = performance.now() + SETTLE_MS;
  await sleep(SETTLE_MS + WINDOW_MS);
  const samples = await load.between(fromMs, fromMs + WINDOW_MS);
  const answered = samples.filter(({ version }) => version !== undefined);
  require(answered.length > 0, 'no request was answered within a second');
  return answered.filter(({ version }) => version === 'v3').length / answered.length;
}

async function knowsV3(mesh: MeshUnderTest): Promise<boolean> {
  const clusters = await mesh.lateenctl(['proxy-config', 'clusters', 'productpage-v1', '-n', 'default', '-o', 'json']);
  return clusters.includes('"outbound|9080|v3|reviews.default.svc.cluster.local"');
}

function refuseFailures(samples: readonly Sample[]): void {
  const failed = samples.filter(({ failure }) => failure !== undefined);
  if (failed.length === 0) return;
  const kinds = new Map<string, number>();
  for (const { failure, freshConnection } of failed) {
    const kind = `${failure} (${freshConnection ? 'fresh' : 'kept'} connection)`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  const list = [...kinds].map(([kind, count]) => `${count} × ${kind}`).join('; ');
  throw new CheckFailure(`${failed.length} of ${samples.length} requests failed: ${list}`);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}
