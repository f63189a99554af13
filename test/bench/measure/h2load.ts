// Benchmark: one run of h2load, at a fixed rate or as fast as the proxy goes, with the latency of each request from its log.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runGenerator } from './generator.js';
import { percentile } from './statistics.js';
import type { FullSpeedLoad, FullSpeedOptions } from './wrk.js';

export interface FixedRateLoad {
  readonly requests: number;
  /** Requests a second that were asked for, all connections together. */
  readonly offeredRps: number;
  readonly rps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly timeouts: number;
  /** Requests that failed, timed out or were answered outside 2xx and 3xx. */
  readonly failures: number;
}

/** Totals that h2load prints. @throws Error when it is not its report */
export function parseH2loadOutput(output: string): { requests: number; timeouts: number; failures: number } {
  const line =
    /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(
      output,
    );
  const codes = /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(output);
  if (line === null || codes === null) throw new Error(`not an h2load report:\n${output}`);
  const [done, , failed, , timeouts] = line.slice(1).map(Number) as [number, number, number, number, number];
  // "failed" holds the errored and timed-out ones, and answers of 4xx and 5xx are counted as failed too.
  return { requests: done, timeouts, failures: failed };
}

/** Latencies in microseconds, sorted, of the answered requests in h2load's log: start, status, microseconds, by tabs. */
export function parseH2loadLog(log: string): Float64Array {
  const values: number[] = [];
  for (const line of log.split('\n')) {
    if (line === '') continue;
    const [, status, micros] = line.split('\t').map(Number);
    if (status === undefined || micros === undefined || Number.isNaN(micros)) {
      throw new Error(`not a line of an h2load log: ${line}`);
    }
    if (status > 0) values.push(micros);
  }
  return Float64Array.from(values).sort();
}

export interface FixedRateOptions {
  readonly url: string;
  readonly seconds: number;
  readonly warmUpSeconds: number;
  readonly connections: number;
  readonly rps: number;
  /** `Name: value`; Host becomes the URL's host, since h2load writes that one itself. */
  readonly headers: readonly string[];
  readonly cpus: string;
  /** A file that is sent as the body of a POST. */
  readonly bodyFile?: string | undefined;
  /** So many requests at a time on each connection, over HTTP/2; over HTTP/1.1 where it is left out. */
  readonly streams?: number | undefined;
}

/** Runs h2load over HTTP/2 as fast as the proxy goes, with so many requests at a time on each connection. */
export async function runFullSpeedHttp2(options: FullSpeedOptions, streams: number): Promise<FullSpeedLoad> {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-h2load-'));
  try {
    const logFile = join(directory, 'log');
    const args = ['-t1', `-c${options.connections}`, `-m${streams}`, `-D${options.seconds}`, '--warm-up-time=0'];
    for (const header of options.headers) args.push('-H', header);
    if (options.bodyFile !== undefined) args.push('-d', options.bodyFile);
    args.push(`--log-file=${logFile}`);
    const totals = parseH2loadOutput(await runGenerator(options.cpus, ['h2load', ...args, options.url]));
    const latencies = parseH2loadLog(readFileSync(logFile, 'utf8'));
    return {
      requests: totals.requests,
      failures: totals.failures,
      rps: totals.requests / options.seconds,
      p50Ms: percentile(latencies, 0.5) / 1000,
      p99Ms: percentile(latencies, 0.99) / 1000,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs h2load once; rejects when it cannot run. */
export async function runFixedRate(options: FixedRateOptions): Promise<FixedRateLoad> {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-h2load-'));
  try {
    const logFile = join(directory, 'log');
    const target = new URL(options.url);
    const host = options.headers
      .find((header) => /^host:/i.test(header))
      ?.slice('host:'.length)
      .trim();
    const others = options.headers.filter((header) => !/^host:/i.test(header));
    const url = host === undefined ? options.url : `${target.protocol}//${host}${target.pathname}`;
    const protocol = options.streams === undefined ? '--h1' : `-m${options.streams}`;
    const args = [protocol, '-t1', `-c${options.connections}`, `-D${options.seconds}`];
    args.push(`--warm-up-time=${options.warmUpSeconds}`, `--rps=${options.rps / options.connections}`);
    args.push(`--connect-to=${target.host}`, `--log-file=${logFile}`, '-N10');
    for (const header of others) args.push('-H', header);
    if (options.bodyFile !== undefined) args.push('-d', options.bodyFile);
    const totals = parseH2loadOutput(await runGenerator(options.cpus, ['h2load', ...args, url]));
    const latencies = parseH2loadLog(readFileSync(logFile, 'utf8'));
    return {
      ...totals,
      offeredRps: options.rps,
      rps: totals.requests / options.seconds,
      p50Ms: percentile(latencies, 0.5) / 1000,
      p99Ms: percentile(latencies, 0.99) / 1000,
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
