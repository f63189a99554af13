// Conformance, step 4: one proxy as a real process: a Lateen sidecar or a stock Envoy, with a certificate of the mesh.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StaticIdentity, storeIdentity } from '@lateen/identity';
import type { TestAuthority } from '@lateen/identity/testing';
import { adsBootstrap, grpcCluster } from '../../harness/ads-bootstrap.js';
import { freePort } from '../../harness/free-port.js';
import { httpGet } from '../../harness/http-get.js';
import { startLogFile } from '../../harness/log-file.js';
import { REPOSITORY } from '../../harness/repository.js';
import { type SdsServer, startSdsServer } from '../../harness/sds-server.js';
import { type LogLine, LogReader } from './log-lines.js';
import { STATS_PAGES } from './proxy-stats.js';

export type Engine = 'lateen' | 'envoy';
export type Role = 'client' | 'gateway';

export interface ConformanceProxy {
  readonly nodeId: string;
  /** The page of its admin API that has what is compared. */
  readonly statsUrl: string;
  /** The access log's line about a request by its id, or about a connection by the client's address, and the address that was called (`ID>SERVER`); undefined while it is not written. */
  logOf(about: string): LogLine | undefined;
  /**
   * Whether everything that it was sent is in use, and its admin API there. An Envoy acknowledges what still waits for secrets, or for names to
   * be resolved; a sidecar opens its admin API when it serves already.
   */
  isWarm(): Promise<boolean>;
  output(): string;
  stop(): Promise<void>;
}

export interface ProxyOptions {
  readonly engine: Engine;
  readonly role: Role;
  /** The binary, for `envoy`. */
  readonly envoyPath: string;
  readonly controlPort: number;
  readonly authority: TestAuthority;
  readonly directory: string;
}

async function commandOf(
  { engine, envoyPath, controlPort, authority, role }: ProxyOptions,
  directory: string,
  nodeId: string,
  adminPort: number,
): Promise<{ readonly argv: readonly string[]; readonly sds?: SdsServer }> {
  const identity = await authority.issue(
    role === 'gateway'
      ? { namespace: 'istio-system', serviceAccount: 'gateway' }
      : { namespace: 'default', serviceAccount: 'client' },
  );
  // One of the two forms of ADS each, so that cases see both.
  const apiType = role === 'gateway' ? 'GRPC' : 'DELTA_GRPC';
  const path = join(directory, 'bootstrap.json');
  const sdsSocket = join(directory, 'sds.sock');
  const isEnvoy = engine === 'envoy';
  const clusters = isEnvoy ? [grpcCluster('sds-grpc', { pipe: { path: sdsSocket } })] : [];
  const bootstrap = adsBootstrap({ apiType, controlPort, adminPort, clusters });
  writeFileSync(path, JSON.stringify({ ...bootstrap, node: { id: nodeId, cluster: `${role}.conformance` } }));
  if (isEnvoy) {
    const sds = await startSdsServer(sdsSocket, new StaticIdentity(identity));
    const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '--drain-time-s', '1'];
    return { argv: [envoyPath, '-c', path, ...flags, '--file-flush-interval-msec', '5'], sds };
  }
  const stateDir = join(directory, 'state');
  await storeIdentity(stateDir, identity);
  writeFileSync(join(directory, 'token'), 'none');
  writeFileSync(join(directory, 'root-cert.pem'), authority.rootsPem);
  const own = ['--state-dir', stateDir, '--token-file', join(directory, 'token'), '--citadel-address', '127.0.0.1:1'];
  const flags = ['--root-cert', join(directory, 'root-cert.pem'), '--log-level', 'warn', '--drain-time', '1s'];
  return {
    argv: [process.execPath, `${REPOSITORY}apps/sidecar/dist/main.js`, '--config-path', path, ...own, ...flags],
  };
}

/** Clusters and listeners that wait for something. */
const WARMING = '^(cluster_manager.warming_clusters|listener_manager.total_listeners_warming)$';

async function isEnvoyWarm(adminPort: number): Promise<boolean> {
  const { body } = await httpGet(`http://127.0.0.1:${adminPort}/stats?filter=${encodeURIComponent(WARMING)}`);
  const values = [...body.matchAll(/: (\d+)$/gm)].map(([, value]) => value);
  return values.length === 2 && values.every((value) => value === '0');
}

/** Whatever it answers. */
const hasAdmin = (adminPort: number): Promise<boolean> =>
  httpGet(`http://127.0.0.1:${adminPort}/ready`).then(
    () => true,
    () => false,
  );

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Starts the proxy; it has nothing to serve until it is pushed something. */
export async function startProxy(options: ProxyOptions): Promise<ConformanceProxy> {
  const { engine, role } = options;
  const directory = join(options.directory, `${role}-${engine}`);
  mkdirSync(directory, { recursive: true });
  const type = role === 'gateway' ? 'router' : 'sidecar';
  const nodeId = `${type}~127.0.0.1~${role}-${engine}.conformance~conformance.svc.cluster.local`;
  const adminPort = await freePort();
  const { argv, sds } = await commandOf(options, directory, nodeId, adminPort);
  const [command = '', ...args] = argv;
  // A file: what is a pipe to Node's child is a socket, which nobody can open as /dev/stdout.
  const log = startLogFile(join(directory, 'proxy.log'));
  const child = spawn(command, args, { stdio: ['ignore', log.descriptor, log.descriptor] });
  log.close();
  const reader = new LogReader(log.newLines);
  let isUp = false;
  return {
    nodeId,
    statsUrl: `http://127.0.0.1:${adminPort}${STATS_PAGES[engine]}`,
    logOf: (about) => reader.lineOf(about),
    isWarm: async () => {
      if (engine === 'envoy') return isEnvoyWarm(adminPort);
      isUp ||= await hasAdmin(adminPort);
      return isUp;
    },
    output: () => log.text(),
    stop: async () => {
      await end(child);
      sds?.stop();
    },
  };
}
