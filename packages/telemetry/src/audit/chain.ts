// Audit: how records are chained: each line carries the hash of the one before it and its own, so that a change shows.

import { hash, randomBytes } from 'node:crypto';

/** What a record may not say of itself: the chain says it. */
export const CHAIN_FIELDS: readonly string[] = ['seq', 'chain', 'prev', 'hash', 'decision'];
/** `prev` of the first record of a chain. */
export const NO_HASH = '0'.repeat(64);

/** Where a chain stands: the number and the hash of its last record. */
export interface ChainEnd {
  readonly chain: string;
  readonly seq: number;
  readonly hash: string;
}

const HASH_MEMBER = ',"hash":"';
/** `,"hash":"` with 64 digits and `"}`. */
const HASH_TAIL_LENGTH = HASH_MEMBER.length + 64 + 2;
/** JSON leaves these as they are; on a terminal they are commands. */
const CONTROL = /[\u007f-\u009f]/;
const CONTROLS = new RegExp(CONTROL, 'g');

/** A value as JSON that no terminal obeys. */
export function auditJson(value: unknown): string {
  const text = JSON.stringify(value);
  if (!CONTROL.test(text)) return text;
  return text.replace(CONTROLS, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}

/** SHA-256 over a line without its hash: from `{` to the end of `prev`. */
export function hashOfLine(unsealed: string): string {
  return hash('sha256', unsealed);
}

/** One chain: of one process and one file. */
export class AuditChain {
  readonly id = randomBytes(8).toString('hex');
  /** Number of the last record; 0 before the first. */
  seq = 0;
  hash = NO_HASH;

  /** The next line, with its end. @param members of a JSON object as `auditJson` writes it, without braces, at least one */
  seal(members: string): string {
    this.seq++;
    const unsealed = `{"seq":${this.seq},"chain":"${this.id}",${members},"prev":"${this.hash}"`;
    this.hash = hashOfLine(unsealed);
    return `${unsealed}${HASH_MEMBER}${this.hash}"}\n`;
  }
}

/** A line as it was read. */
export interface AuditRecord extends ChainEnd {
  readonly type: string;
  readonly prev: string;
  readonly [member: string]: unknown;
}

/** The record of a line (without its end), or what is wrong with it. */
export function readAuditLine(line: string): AuditRecord | { readonly problem: string } {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { problem: 'is no JSON: it was changed, or cut off while it was written' };
  }
  if (!isRecord(value)) return { problem: 'is no audit record' };
  const unsealed = line.slice(0, -HASH_TAIL_LENGTH);
  if (line.slice(-HASH_TAIL_LENGTH) !== `${HASH_MEMBER}${value.hash}"}` || hashOfLine(unsealed) !== value.hash) {
    return { problem: `record ${value.seq} of chain ${value.chain} was changed: its hash does not fit` };
  }
  return value;
}

function isRecord(value: unknown): value is AuditRecord {
  if (value === null || typeof value !== 'object') return false;
  const { seq, chain, type, prev, hash: own } = value as Record<string, unknown>;
  return (
    Number.isSafeInteger(seq) &&
    typeof chain === 'string' &&
    typeof type === 'string' &&
    typeof prev === 'string' &&
    typeof own === 'string'
  );
}
