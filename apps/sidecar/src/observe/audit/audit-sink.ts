// Audit: where the lines of a chain go: a file, or a collector.

import type { ChainEnd } from '@lateen/telemetry/audit/chain.js';

/** What is known of a sink when it is opened. */
export interface FoundEnd {
  /** How the last chain in it ended; undefined where there is none. */
  readonly previous: ChainEnd | undefined;
  /** The last line was cut off. */
  readonly torn: boolean;
}

export interface AuditSink {
  /** Fewer bytes than are worth a write of their own wait so long for others. */
  readonly writeDelayMs: number;
  open(): Promise<FoundEnd>;
  /**
   * Takes lines as a whole. Where it fails, the same lines must be given again, others may follow: what was taken of them
   * already is not taken twice.
   */
  append(lines: readonly string[]): Promise<void>;
  /** Makes durable what was taken. */
  sync(): Promise<void>;
  close(): Promise<void>;
}
