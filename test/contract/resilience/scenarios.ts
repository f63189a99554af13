// Resilience, step 3: what must hold under load, each as a scenario that says what it saw and what is wrong with it.

import { LoadedMesh, type LoadedPod, type LoggedRequest } from './loaded-mesh.js';
import { type AnsweredRequest, countWhere, steadyLoad } from './steady-load.js';

export interface ScenarioOptions {
  readonly perSecond: number;
  readonly seconds: number;
}

export interface ScenarioReport {
  /** What was seen, in a line. */
  readonly seen: string;
  /** Requests a second that were really sent. */
  readonly rate: number;
  /** What should not be; empty where all is well. */
  readonly faults: readonly string[];
}

export type Scenario = (options: ScenarioOptions) => Promise<ScenarioReport>;

const SERVICE = `
apiVersion: v1
kind: Service
metadata: { name: web }
spec: { selector: { app: web }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
`;
const route = (more: string) => `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: [web]
  http: [{ route: [{ destination: { host: web } }], ${more} }]
`;
const policy = (text: string) => `
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: web }
spec:
  host: web
  trafficPolicy: { ${text} }
`;

async function inMesh(config: string, pods: number, run: (mesh: LoadedMesh) => Promise<ScenarioReport>) {
  const mesh = await LoadedMesh.start(config, pods);
  try {
    return await run(mesh);
  } finally {
    await mesh.stop();
  }
}

/** How often the words come that something has; nothing where it has none. */
function counted<T>(all: readonly T[], wordsOf: (each: T) => string | undefined): string {
  const counts = new Map<string, number>();
  for (const each of all) {
    const words = wordsOf(each);
    if (words !== undefined) counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  return [...counts].map(([words, count]) => `${count} with ${words}`).join(', ');
}

/** How requests failed: what their client saw (0 is no answer at all), and what the sidecar says of them. */
function failures(mesh: LoadedMesh, answers: readonly AnsweredRequest[]): string {
  const seen = counted(answers, ({ status }) => (ok(status) ? undefined : String(status)));
  const logged = counted(mesh.logged(), ({ status, flags, startMs, endMs }) =>
    ok(status) ? undefined : `${status} ${flags} after ${((endMs - startMs) / 1000).toFixed(0)} s`,
  );
  return `failed: ${seen}; in the access log: ${logged}`;
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
const ok = (status: number) => status === 200;

/** One of four pods begins to fail: it costs the errors that eject it, and those that were under way to it then. */
const LIMIT = 5;
/** The log's times are whole milliseconds: a start and an end that are rounded, and a duration. */
const ROUNDING_MS = 3;

/** When the pod had failed so many times in a row that it was to be ejected; undefined: never. */
function ejectedAtMs(log: readonly LoggedRequest[], { address }: LoadedPod): number | undefined {
  let row = 0;
  for (const { upstream, status, endMs } of log) {
    if (!upstream.startsWith(`${address}:`)) continue;
    row = status === 503 ? row + 1 : 0;
    if (row === LIMIT) return endMs;
  }
  return undefined;
}

const ejectsAFailingEndpoint: Scenario = ({ perSecond, seconds }) =>
  inMesh(
    SERVICE +
      route('retries: { attempts: 0 }') +
      policy(`outlierDetection: { consecutive5xxErrors: ${LIMIT}, baseEjectionTime: 5m, maxEjectionPercent: 50 }`),
    4,
    async (mesh) => {
      const { pods, target } = mesh;
      const bad = pods[1]!;
      for (const pod of pods) pod.delayMs = 5;
      const { answers, rate } = await steadyLoad(target, perSecond, seconds, async () => {
        await pause(seconds * 300);
        bad.status = 503;
      });
      const log = await mesh.log(answers.length);
      const atMs = ejectedAtMs(log, bad);
      const errors = log.filter(({ status }) => status === 503);
      const late = errors.filter(({ startMs }) => atMs !== undefined && startMs > atMs + ROUNDING_MS);
      const after = log.filter(({ startMs }) => atMs !== undefined && startMs > atMs + ROUNDING_MS).length;
      const others = countWhere(answers, (status) => !ok(status) && status !== 503);
      return {
        rate,
        seen: `${errors.length} errors of ${answers.length} (${rate.toFixed(0)}/s), ${LIMIT} of which eject; ${late.length} of ${after} requests that began after that`,
        faults: [
          ...(atMs === undefined ? ['the pod did not fail so often in a row that it is ejected'] : []),
          ...(after === 0 ? ['no request came after the ejection'] : []),
          ...(late.length > 0 ? [`${late.length} errors of requests that began after the ejection`] : []),
          ...(others > 0 ? [`${others} requests had another end`] : []),
        ],
      };
    },
  );

/** A slow service with a limit: what is over it is refused at once, by 503 and UO, and nothing else goes wrong. */
const MAX_REQUESTS = 20;
const opensTheCircuitBreaker: Scenario = ({ perSecond, seconds }) =>
  inMesh(SERVICE + policy(`connectionPool: { http: { http2MaxRequests: ${MAX_REQUESTS} } }`), 2, async (mesh) => {
    const { pods, target } = mesh;
    for (const pod of pods) pod.delayMs = 100;
    const { answers, rate } = await steadyLoad(target, perSecond, seconds);
    const refused = (await mesh.log(answers.length)).filter(({ status }) => status === 503);
    const unmarked = refused.filter(({ flags }) => flags !== 'UO').length;
    const others = countWhere(answers, (status) => !ok(status) && status !== 503);
    const { most } = mesh.active;
    const passed = countWhere(answers, ok);
    return {
      rate,
      seen: `${passed} passed and ${refused.length} refused of ${answers.length} (${rate.toFixed(0)}/s); at most ${most} at a time at both pods`,
      faults: [
        ...(refused.length === 0 ? ['nothing was refused'] : []),
        ...(passed === 0 ? ['nothing passed'] : []),
        ...(unmarked > 0 ? [`${unmarked} of ${refused.length} refusals are not marked UO`] : []),
        ...(most > MAX_REQUESTS ? [`${most} requests at a time; the limit is ${MAX_REQUESTS}`] : []),
        ...(others > 0 ? [`${others} requests had another end`] : []),
      ],
    };
  });

/**
 * What changes of a route: its time limit. Pods, Pilot and the load are one process, which may stand still for ten seconds where
 * twenty others want the machine; a limit that ends such requests as it should would say nothing about changes.
 */
const LEAST_TIMEOUT_S = 600;

/** Pods come and go, and routes change, all the time: two changes of endpoints to each of routes. */
const losesNothingToChanges: Scenario = ({ perSecond, seconds }) =>
  inMesh(SERVICE + route(`timeout: ${LEAST_TIMEOUT_S}s, retries: { attempts: 0 }`), 4, async (mesh) => {
    const endpointChanges = Math.round((1000 * seconds) / 30);
    const changes = endpointChanges + Math.round(endpointChanges / 2);
    const { answers, rate } = await steadyLoad(mesh.target, perSecond, seconds, async () => {
      const startMs = performance.now();
      let absent = new Set<string>();
      for (let change = 0; change < changes; change++) {
        // Every third change is of the route.
        if (change % 3 !== 2) absent = new Set(absent.size > 0 ? [] : [`web-${(change >> 1) % 4}`]);
        mesh.push(absent, `${LEAST_TIMEOUT_S + 1 + Math.floor(change / 3)}s`);
        const dueMs = startMs + ((change + 1) * seconds * 1000) / changes;
        await pause(Math.max(0, dueMs - performance.now()));
      }
    });
    await mesh.taken();
    const failed = countWhere(answers, (status) => !ok(status));
    return {
      rate,
      seen: `${failed} of ${answers.length} failed (${rate.toFixed(0)}/s) during ${changes} changes, of endpoints and of routes`,
      faults: failed > 0 ? [failures(mesh, answers)] : [],
    };
  });

/** A pod is killed with requests under way to it, and Pilot does not know: callers see nothing of it. */
const hidesAKilledEndpoint: Scenario = ({ perSecond, seconds }) =>
  inMesh(SERVICE + route('retries: { attempts: 3, retryOn: "connect-failure,reset" }'), 4, async (mesh) => {
    const { pods, target } = mesh;
    for (const pod of pods) pod.delayMs = 5;
    const { answers, rate } = await steadyLoad(target, perSecond, seconds, async () => {
      await pause(seconds * 400);
      pods[2]!.kill();
    });
    const failed = countWhere(answers, (status) => !ok(status));
    const before = pods[2]!.requests;
    return {
      rate,
      seen: `${failed} of ${answers.length} failed (${rate.toFixed(0)}/s); the killed pod had answered ${before}`,
      faults: [
        ...(failed > 0 ? [failures(mesh, answers)] : []),
        ...(before === 0 ? ['the pod had got nothing before it was killed'] : []),
      ],
    };
  });

/** By what each of them shows. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  'a failing endpoint is ejected after the errors that are set, and those under way': ejectsAFailingEndpoint,
  'a circuit breaker opens with 503 and UO': opensTheCircuitBreaker,
  'changes of endpoints and routes fail no request': losesNothingToChanges,
  'a retry hides a killed endpoint': hidesAKilledEndpoint,
};
