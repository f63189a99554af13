// Benchmark: one run of the wrk load generator, as fast as the proxy goes, and what it printed.

import { runGenerator } from './generator.js';

export interface FullSpeedLoad {
  readonly requests: number;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers outside 2xx and 3xx, and socket errors. */
  readonly failures: number;
}

const UNIT_MS: Record<string, number> = { us: 0.001, ms: 1, s: 1000, m: 60_000 };

function latencyMs(output: string, percentile: string): number {
  const match = new RegExp(`${percentile}%\\s+([\\d.]+)(us|ms|s|m)\\b`).exec(output);
  if (match === null) throw new Error(`wrk printed no ${percentile}% latency:\n${output}`);
  return Number(match[1]) * (UNIT_MS[match[2] ?? 'ms'] ?? 1);
}

/** Reads wrk's report. @throws Error when it is not one */
export function parseWrkOutput(output: string): FullSpeedLoad {
  const requests = /(\d+) requests in/.exec(output);
  const rps = /Requests\/sec:\s+([\d.]+)/.exec(output);
  if (requests === null || rps === null) throw new Error(`not a wrk report:\n${output}`);
  const non2xx = /Non-2xx or 3xx responses: (\d+)/.exec(output);
  const socket = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
  const socketErrors = socket === null ? 0 : socket.slice(1).reduce((sum, text) => sum + Number(text), 0);
  return {
    requests: Number(requests[1]),
    rps: Number(rps[1]),
    p50Ms: latencyMs(output, '50'),
    p99Ms: latencyMs(output, '99'),
    failures: Number(non2xx?.[1] ?? 0) + socketErrors,
  };
}

export interface FullSpeedOptions {
  readonly url: string;
  readonly seconds: number;
  readonly connections: number;
  readonly headers: readonly string[];
  /** With h2load: a file that is sent as the body of a POST. */
  readonly bodyFile?: string | undefined;
  /** CPU list that the generator is pinned to. */
  readonly cpus: string;
}

/** Runs wrk once; rejects when it cannot run. */
export async function runFullSpeed(options: FullSpeedOptions): Promise<FullSpeedLoad> {
  const args = ['-t1', `-c${options.connections}`, `-d${options.seconds}s`, '--latency'];
  for (const header of options.headers) args.push('-H', header);
  return parseWrkOutput(await runGenerator(options.cpus, ['wrk', ...args, options.url]));
}
