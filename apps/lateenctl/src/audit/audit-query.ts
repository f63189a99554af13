// Audit: which records a question is about, and how they are shown.

import { parseDurationMs } from '@lateen/istio-config';
import type { AuditRecord } from '@lateen/telemetry/audit/chain.js';
import { UsageError } from '../output/cli-error.js';

export interface QueryOptions {
  readonly principal?: string;
  readonly subject?: string;
  readonly path?: string;
  readonly decision?: string;
  readonly since?: string;
}

const DECISIONS = ['allowed', 'denied', 'none'];

/** @throws UsageError for what is no decision or no time */
export function compileQuery(options: QueryOptions, nowMs: number): (record: AuditRecord) => boolean {
  const { principal, subject, path, decision, since } = options;
  if (decision !== undefined && !DECISIONS.includes(decision)) {
    throw new UsageError(`--decision ${decision}: one of ${DECISIONS.join(', ')}`);
  }
  const fromMs = since === undefined ? undefined : timeOf(since, nowMs);
  const isPrincipal = principal === undefined ? undefined : pattern(principal);
  const isSubject = subject === undefined ? undefined : pattern(subject);
  const isPath = path === undefined ? undefined : pattern(path);
  return (record) => {
    if (record.type !== 'request' && record.type !== 'connection') return false;
    if (decision !== undefined && record.decision !== decision) return false;
    if (isPrincipal !== undefined && !isPrincipal(record.principal)) return false;
    if (isSubject !== undefined && !isSubject(record.subject)) return false;
    if (isPath !== undefined && !isPath(record.path) && !isPath(record.original_path)) return false;
    return fromMs === undefined || Date.parse(String(record.time)) >= fromMs;
  };
}

/** `*` stands for any text; without one the whole must be equal. */
function pattern(text: string): (value: unknown) => boolean {
  const source = text
    .split('*')
    .map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('.*');
  const expression = new RegExp(`^${source}$`, 's');
  return (value) => typeof value === 'string' && expression.test(value);
}

/** `10m`: so long ago; else a time. */
function timeOf(since: string, nowMs: number): number {
  const spanMs = parseDurationMs(since);
  if (spanMs !== undefined) return nowMs - spanMs;
  const time = Date.parse(since);
  if (Number.isNaN(time))
    throw new UsageError(`--since ${since}: neither a span such as 10m nor a time such as 2026-11-23T18:00:00Z`);
  return time;
}

export const HEADING = ['TIME', 'WORKLOAD', 'DIRECTION', 'PRINCIPAL', 'METHOD', 'HOST', 'PATH', 'STATUS', 'DECISION'];

/** Cells under {@link HEADING}. */
export function rowOf(record: AuditRecord, workload: string | undefined): string[] {
  const { time, direction, principal, method, host, path, status, decision, policy } = record;
  const decided = policy === undefined ? decision : `${decision} by ${policy}`;
  return [time, workload, direction, principal, method, host, path, status, decided].map(cell);
}

/** What clients write must not command the terminal. */
function cell(value: unknown): string {
  if (value === undefined) return '-';
  const text = JSON.stringify(String(value)).slice(1, -1).replaceAll('\\"', '"').replaceAll('\\\\', '\\');
  // JSON leaves these as they are.
  return text.replaceAll(/[\u007f-\u009f]/g, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
