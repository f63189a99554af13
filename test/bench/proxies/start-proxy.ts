// Benchmark: starts a proxy or a backend for a scenario, each pinned to its CPU.

import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../harness/free-port.js';
import { obtainStockEnvoy } from '../../harness/stock-envoy.js';
import { type PinnedProcess, startPinned } from '../measure/pinned-process.js';
import { writeBootstrap } from './bootstrap-file.js';
import { haproxyProxy } from './haproxy-config.js';
import { nginxBackend, nginxProxy } from './nginx-config.js';
import type { ProxyOptions } from './proxy-options.js';

/** `sidecar-few`: the sidecar with little configuration, in scenarios about what much of it costs. */
export const PROXY_KINDS = ['nginx', 'haproxy', 'envoy', 'node-http', 'sidecar-few', 'sidecar'] as const;
export type ProxyKind = (typeof PROXY_KINDS)[number];

/** The proxies have a core of their own; load generator and backend share the other. */
export const PROXY_CPU = '0';
export const LOAD_CPU = '1';

const SIDECAR = fileURLToPath(new URL('../../../../bin/lateen-sidecar', import.meta.url));
const NODE_PROXY = fileURLToPath(new URL('./node-http-proxy.js', import.meta.url));

/** The command that runs `kind` with a bootstrap file. One worker, as nginx and the sidecar have. */
export function bootstrapCommand(kind: 'envoy' | 'sidecar' | 'sidecar-few', path: string): string[] {
  if (kind !== 'envoy') return [SIDECAR, '--config-path', path, '--log-level', 'warn'];
  const envoy = obtainStockEnvoy();
  if ('missing' in envoy) throw new Error(`no stock Envoy: ${envoy.missing}`);
  return [envoy.path, '-c', path, '--concurrency', '1', '--disable-hot-restart', '--log-level', 'error'];
}

async function commandOf(kind: ProxyKind, directory: string, options: ProxyOptions): Promise<string[]> {
  switch (kind) {
    case 'nginx':
      return nginxProxy(options, directory);
    case 'haproxy':
      return haproxyProxy(options, directory);
    case 'node-http':
      return [process.execPath, NODE_PROXY, JSON.stringify(options)];
    case 'envoy':
    case 'sidecar':
    case 'sidecar-few':
      return bootstrapCommand(kind, writeBootstrap({ directory, adminPort: await freePort(), ...options }));
  }
}

/** Starts one proxy; resolves once it listens. */
export async function startProxy(kind: ProxyKind, directory: string, options: ProxyOptions): Promise<PinnedProcess> {
  const own = { ...options, name: `${kind}-${options.name}` };
  if (options.accessLog !== undefined) Object.assign(own, { accessLog: join(directory, `${own.name}.log`) });
  if (options.auditLog !== undefined) Object.assign(own, { auditLog: join(directory, `${own.name}.audit.log`) });
  const argv = await commandOf(kind, directory, own);
  if (kind !== 'haproxy' || own.accessLog === undefined) return startPinned(kind, PROXY_CPU, argv, own.listenPort);
  const log = openSync(own.accessLog, 'a');
  try {
    return await startPinned(kind, PROXY_CPU, argv, own.listenPort, log);
  } finally {
    closeSync(log);
  }
}

export interface Backend {
  readonly ports: readonly number[];
  readonly process: PinnedProcess;
}

export interface BackendShape {
  readonly count: number;
  readonly bodyBytes: number;
  readonly manyConnections?: boolean;
  /** HTTP/2 without TLS. */
  readonly http2?: boolean;
  /** Answers are those of gRPC: a POST, the status in trailers. */
  readonly grpc?: boolean;
}

/** Starts one nginx that listens on `count` ports. */
export async function startBackend(directory: string, shape: BackendShape): Promise<Backend> {
  // A port that is free may be told twice.
  const chosen = new Set<number>();
  while (chosen.size < shape.count) chosen.add(await freePort());
  const ports = [...chosen];
  const argv = nginxBackend({ ...shape, directory, ports });
  return { ports, process: await startPinned('backend', LOAD_CPU, argv, ports[0] ?? 0) };
}
