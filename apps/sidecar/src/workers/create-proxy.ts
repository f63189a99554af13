// Workers: makes the data path of a proxy: this process's alone, or with workers beside it. Who asks for one process gets the
// very data path, with nothing in between.

import { randomBytes } from 'node:crypto';
import type { LogLevel } from '@lateen/telemetry';
import type { SidecarBootstrap } from '../config/bootstrap.js';
import type { DataPlane, DataPlaneOptions } from '../data-plane.js';
import { TICKET_SECRET_BYTES } from '../downstream/downstream-tls.js';
import type { AccessLogs } from '../observe/access-logs.js';
import { addUp } from './add-up.js';
import { connectionLimitsOf } from './connection-limits.js';
import { observe, processUsage, type Seen } from './observation.js';
import { ManyProcesses, type ProxyDataPlane } from './proxy-data-plane.js';
import type { WorkerStart } from './worker-messages.js';
import type { WorkerOutput } from './worker-process.js';
import { WorkerSet } from './worker-set.js';

export interface ProxyOptions {
  /** Processes that serve, this one included. */
  readonly concurrency: number;
  /** What a worker is started with. */
  readonly program: string;
  readonly bootstrap: SidecarBootstrap;
  readonly bootstrapFile: { readonly path: string; readonly text: string };
  readonly auditDirectory: string | undefined;
  readonly citadel: WorkerStart['citadel'];
  readonly version: string;
  readonly logLevel: () => LogLevel;
  readonly accessLogs: AccessLogs;
  readonly createDataPlane: (options: DataPlaneOptions) => Promise<DataPlane>;
  readonly log: NonNullable<DataPlaneOptions['log']>;
}

export interface RunningProxy {
  readonly dataPlane: ProxyDataPlane;
  readonly concurrency: number;
  /** All processes together, at this moment. */
  see(): Promise<Seen>;
  /** The level of this process's logger has changed. */
  setLogLevel(level: LogLevel): void;
}

export async function createProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { bootstrap, accessLogs, log, concurrency } = options;
  const dataPlaneOptions: DataPlaneOptions = {
    node: bootstrap.node,
    connectionLimits: bootstrap.connectionLimits,
    createAccessLogSink: (configs) => accessLogs.createSink(configs),
    quotaCluster: bootstrap.ads?.clusterName,
    log,
  };
  if (concurrency === 1) {
    const dataPlane = await options.createDataPlane(dataPlaneOptions);
    const see = async () => ({ dataPlane, lostLines: accessLogs, usage: processUsage(), workers: undefined });
    return { dataPlane, concurrency, see, setLogLevel: () => undefined };
  }
  const share = { index: 0, count: concurrency };
  const ticketSecret = randomBytes(TICKET_SECRET_BYTES);
  const own = await options.createDataPlane({
    ...dataPlaneOptions,
    share,
    ticketSecret,
    connectionLimits: connectionLimitsOf(bootstrap.connectionLimits, share),
    onEjected: (ejection) => workers.tell({ kind: 'ejected', ejection }),
    giveAway: (key, connection) => workers.give(key, connection),
  });
  const workers: WorkerSet = new WorkerSet({
    program: options.program,
    output: outputOf(accessLogs),
    start: {
      bootstrap: options.bootstrapFile,
      count: concurrency,
      version: options.version,
      citadel: options.citadel,
      ticketSecret,
      auditDirectory: options.auditDirectory,
    },
    logLevel: options.logLevel,
    onEjected: (ejection) => own.takeEjection(ejection),
    connections: () => own.stats.downstreamCxActive,
    // Who gave it may not know yet that nobody listens there any more.
    onConnection: (key, connection) => {
      if (!own.takeConnection(key, connection)) connection.close();
    },
    log,
  });
  return {
    dataPlane: new ManyProcesses(own, workers),
    concurrency,
    see: async (): Promise<Seen> => {
      const theirs = [...(await workers.observe())].sort((a, b) => a.index - b.index);
      const all = [observe(0, own, accessLogs), ...theirs] as const;
      const processes = all.map(({ index, pid, stats }) => ({
        index,
        pid,
        connectionsTotal: stats.downstreamCxTotal,
        connectionsActive: stats.downstreamCxActive,
      }));
      return { ...addUp(all, workers.ended), workers: { processes, restarts: workers.restarts } };
    },
    setLogLevel: (level) => workers.tell({ kind: 'logLevel', level }),
  };
}

/** Lines go where this process writes its own, one after another. */
function outputOf(accessLogs: AccessLogs): WorkerOutput {
  return {
    out: (line) => accessLogs.writeLine('/dev/stdout', line),
    // As the logger's own lines: written before it returns.
    error: (line) => process.stderr.write(line),
  };
}
