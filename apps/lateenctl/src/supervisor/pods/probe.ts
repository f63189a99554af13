// Pods: asks whether an application is ready, as its readiness probe says; a TCP connect where it has none.

import { get } from 'node:http';
import { connect } from 'node:net';

export interface Probe {
  readonly kind: 'http' | 'tcp';
  /** Container port that the probe names; it is translated to the application's real port. */
  readonly containerPort: number | undefined;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly failureThreshold: number;
  readonly successThreshold: number;
}

/** Kubernetes's defaults, for a container without a readiness probe. */
export const DEFAULT_PROBE: Probe = {
  kind: 'tcp',
  containerPort: undefined,
  path: '/',
  headers: {},
  initialDelayMs: 0,
  periodMs: 10_000,
  timeoutMs: 1000,
  failureThreshold: 3,
  successThreshold: 1,
};

/** Until the first success a probe runs this often, whatever its period: a laptop's user waits for it. */
const STARTING_PERIOD_MS = 100;

/** Resolves to undefined on success, else to what went wrong. Never rejects. */
export function probeOnce(probe: Probe, host: string, port: number): Promise<string | undefined> {
  return probe.kind === 'http' ? probeHttp(probe, host, port) : probeTcp(probe, host, port);
}

function probeHttp(probe: Probe, host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const headers = { 'user-agent': 'lateen-probe', connection: 'close', ...probe.headers };
    const request = get({ host, port, path: probe.path, agent: false, headers }, (response) => {
      response.resume();
      const status = response.statusCode ?? 0;
      resolve(status >= 200 && status < 400 ? undefined : `GET ${probe.path} answered ${status}`);
    });
    request.setTimeout(probe.timeoutMs, () => request.destroy(new Error(`no answer within ${probe.timeoutMs} ms`)));
    request.on('error', (error) => resolve(error.message));
  });
}

function probeTcp(probe: Probe, host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const finish = (failure: string | undefined) => {
      socket.destroy();
      resolve(failure);
    };
    socket.setTimeout(probe.timeoutMs, () => finish(`no connection within ${probe.timeoutMs} ms`));
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error) => finish(error.message));
  });
}

export interface ProbeTarget {
  readonly host: string;
  /** Undefined for a process that listens nowhere: it is ready while it runs. */
  readonly port: number | undefined;
}

export interface ProbeLoop {
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reason: string;
  /** Not ready any more, and asked again at the starting pace: the process was restarted. */
  reset(): void;
  stop(): void;
}

async function probeTarget(probe: Probe, target: ProbeTarget | undefined): Promise<string | undefined> {
  if (target === undefined) return 'the process does not run';
  return target.port === undefined ? undefined : probeOnce(probe, target.host, target.port);
}

/**
 * Probes again and again and reports each change of readiness.
 * @param target where the application listens now, or undefined while it does not run
 */
export function startProbeLoop(
  probe: Probe,
  target: () => ProbeTarget | undefined,
  onChange: (ready: boolean) => void,
): ProbeLoop {
  let ready = false;
  let reason = 'not probed yet';
  let successes = 0;
  let failures = 0;
  let generation = 0;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  const set = (value: boolean) => {
    if (value === ready) return;
    ready = value;
    onChange(ready);
  };

  const round = async (current: number) => {
    const where = target();
    const failure = await probeTarget(probe, where);
    if (current !== generation) return;
    if (failure === undefined) {
      failures = 0;
      successes++;
      if (successes >= probe.successThreshold) set(true);
    } else {
      reason = failure;
      successes = 0;
      failures++;
      if (failures >= probe.failureThreshold || where === undefined) set(false);
    }
    timer = setTimeout(
      () => void round(current),
      ready ? probe.periodMs : Math.min(STARTING_PERIOD_MS, probe.periodMs),
    );
  };

  const begin = () => {
    if (stopped) return;
    generation++;
    clearTimeout(timer);
    successes = 0;
    failures = 0;
    const current = generation;
    timer = setTimeout(() => void round(current), probe.initialDelayMs);
  };
  begin();

  return {
    get ready() {
      return ready;
    },
    get reason() {
      return reason;
    },
    reset: () => {
      reason = 'starting';
      set(false);
      begin();
    },
    stop: () => {
      stopped = true;
      generation++;
      clearTimeout(timer);
    },
  };
}
