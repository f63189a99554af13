// What Citadel keeps on disk: the state directory with its one writer and its journal; in a cluster there need be none.

import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type AuditLog, openAuditLog, openMemoryJournal } from './audit-log.js';
import { type StateLease, takeStateLease } from './authority/state-lease.js';

export interface StateDirectory {
  readonly stateDir: string;
  readonly auditFile: string;
  readonly lease: StateLease;
}

export interface CitadelState {
  readonly audit: AuditLog;
  /** Undefined where nothing is kept on disk. */
  readonly directory: StateDirectory | undefined;
  close(): Promise<void>;
}

/** @throws Error where another process has the directory, or it cannot be written */
export async function openState(stateDir: string | undefined): Promise<CitadelState> {
  if (stateDir === undefined) return { audit: openMemoryJournal(), directory: undefined, close: async () => undefined };
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  await chmod(stateDir, 0o700);
  const lease = await takeStateLease(stateDir);
  const auditFile = join(stateDir, 'audit.log');
  const audit = await openAuditLog(auditFile);
  return {
    audit,
    directory: { stateDir, auditFile, lease },
    close: async () => {
      await audit.close();
      await lease.release();
    },
  };
}
