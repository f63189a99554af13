// Workers: what the first process of a proxy and its workers say to each other. Sent as structured clones, never by disk.

import type { LogLevel } from '@lateen/telemetry';
import type { ConfigProblem, TlsSecret } from '../data-plane.js';
import type { CheckpointClientOptions } from '../observe/audit/checkpoint-client.js';
import type { Ejection } from '../upstream/outliers/outlier-detector.js';
import type { ConfigDelta } from './config-delta.js';
import type { Observation } from './observation.js';

/** What a worker needs before its first configuration. */
export interface WorkerStart {
  /** The bootstrap file as the first process has read it. */
  readonly bootstrap: { readonly path: string; readonly text: string };
  readonly index: number;
  /** Processes of the proxy, the first one included. */
  readonly count: number;
  readonly logLevel: LogLevel;
  readonly version: string;
  /** Who signs audit logs; undefined: nobody. */
  readonly citadel: Pick<CheckpointClientOptions, 'citadelAddress' | 'trustDomain'> | undefined;
  readonly ticketSecret: Uint8Array;
  /** Where audit logs lie that have no absolute path. */
  readonly auditDirectory: string | undefined;
}

/** To a worker, which answers: an `id` is given to the answer. */
export type Question =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  | { readonly kind: 'prepare'; readonly config: ConfigDelta }
  | { readonly kind: 'commit' }
  | { readonly kind: 'abandon' }
  | { readonly kind: 'observe' }
  | { readonly kind: 'drain'; readonly graceMs: number };

/** Told by either side to the other from time to time. */
export interface ConnectionCount {
  readonly kind: 'connections';
  readonly count: number;
  /** Of the other's, ever. */
  readonly received: number;
}

/** To a worker, which does as it is told. */
export type Notice =
  /** Comes with the listening socket's handle. */
  | { readonly kind: 'socket'; readonly key: string }
  /** Comes with the handle of a connection that was accepted. */
  | { readonly kind: 'connection'; readonly key: string }
  | ConnectionCount
  | { readonly kind: 'secrets'; readonly secrets: ReadonlyMap<string, TlsSecret> }
  | { readonly kind: 'ejected'; readonly ejection: Ejection }
  | { readonly kind: 'askToLeave' }
  | { readonly kind: 'drainListeners' }
  | { readonly kind: 'logLevel'; readonly level: LogLevel };

export type ToWorker = (Question & { readonly id: number }) | Notice;

/** What a question is answered with. */
export interface Answers {
  start: undefined;
  /** Undefined: it can be put in effect. */
  prepare: readonly ConfigProblem[] | undefined;
  commit: undefined;
  abandon: undefined;
  observe: Observation;
  drain: Observation;
}

export type FromWorker =
  | { readonly kind: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly kind: 'failed'; readonly id: number; readonly reason: string }
  /** Told from time to time, so that little is lost with a worker that is killed. */
  | { readonly kind: 'observed'; readonly observation: Observation }
  | { readonly kind: 'ejected'; readonly ejection: Ejection }
  | { readonly kind: 'connection'; readonly key: string }
  | ConnectionCount;
