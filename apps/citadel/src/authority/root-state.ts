// Authority: which roots there are and how far a rotation is, as `authority.json` says: one text, replaced as a whole.

import { readFile } from 'node:fs/promises';
import type { PastRotation, Rotation } from '@lateen/telemetry';
import { isRecord } from './read-if-there.js';

/** The steps of a rotation, in their order. */
export const ROTATION_STEPS = ['make', 'distribute', 'issue', 'remove'] as const satisfies Rotation['step'][];

export interface RootState {
  readonly format: 1;
  /** Id of the root that certificates are issued from. */
  readonly issuing: string;
  /** Ids of all trusted roots; the one that issues is the first. */
  readonly trusted: readonly string[];
  readonly rotation?: Rotation | undefined;
  readonly last?: PastRotation | undefined;
}

/** @throws Error naming the file where it is not what this program writes */
export async function readRootState(file: string): Promise<RootState> {
  return parseRootState(await readFile(file, 'utf8'), file);
}

/** @param name what people call the text's place */
export function parseRootState(text: string, name: string): RootState {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${name} is damaged (${(error as Error).message}); restore it from a backup`, { cause: error });
  }
  if (!isRootState(value)) {
    throw new Error(`${name} is damaged or of another version of Citadel; restore it from a backup`);
  }
  return value;
}

function isRootState(value: unknown): value is RootState {
  if (!isRecord(value) || value.format !== 1) return false;
  const { issuing, trusted, rotation } = value;
  if (!isId(issuing) || !Array.isArray(trusted) || !trusted.every(isId) || trusted[0] !== issuing) return false;
  return rotation === undefined || isRotation(rotation);
}

function isRotation(value: unknown): value is Rotation {
  return (
    isRecord(value) &&
    (ROTATION_STEPS as readonly unknown[]).includes(value.step) &&
    isId(value.from) &&
    isId(value.to) &&
    typeof value.graceSeconds === 'number' &&
    [value.startedAt, value.stepSince].every((time) => typeof time === 'string' && !Number.isNaN(Date.parse(time)))
  );
}

function isId(value: unknown): value is string {
  return typeof value === 'string' && /^[0-9a-f]{16}$/.test(value);
}
