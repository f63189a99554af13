// Exchange: requests of scripts of other origins (CORS): what their answers say of it, and preflights, which get no further.

import {
  CORS_NONE,
  CORS_PREFLIGHT,
  CORS_REFUSED,
  SHARE_COUNT,
  SHARE_ORIGIN,
  SHARE_ORIGIN_LENGTH,
  SHARE_POLICY,
} from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';

/** Where in a chain's order of filters the one for CORS stands: nowhere, before the others, or right before the router. */
export const CORS_ABSENT = 0;
export const CORS_FIRST = 1;
export const CORS_LAST = 2;

/** What the heads to the client say of sharing. */
export interface Sharing {
  /** Policy record, 0 = nothing. */
  readonly policy: number;
  /** So many of its header changes. */
  readonly count: number;
  readonly origin: string;
}

/** Kept as long as the request, because the next one fills SHARE_* again. */
export class CrossOrigin implements Sharing {
  policy = 0;
  count = 0;
  origin = '';

  constructor(private readonly path: DataPath) {}

  /** REQ_* and ROUTE_* are filled: true for a preflight that is to be answered here. */
  decide(listenerRecord: number): boolean {
    const { core } = this.path;
    const { i32 } = core;
    const kind = core.wasm.decideCors(listenerRecord);
    this.policy = i32[SHARE_POLICY >> 2]!;
    if (kind === CORS_NONE || kind === CORS_REFUSED) return kind === CORS_REFUSED;
    this.count = i32[SHARE_COUNT >> 2]!;
    this.origin = core.text(SHARE_ORIGIN, i32[SHARE_ORIGIN_LENGTH >> 2]!);
    return kind === CORS_PREFLIGHT;
  }
}

/** Tells the writers of heads. */
export function putSharing({ core }: DataPath, sharing: Sharing | null): void {
  const { i32 } = core;
  const policy = sharing === null ? 0 : sharing.policy;
  i32[SHARE_POLICY >> 2] = policy;
  if (sharing === null || policy === 0) return;
  i32[SHARE_COUNT >> 2] = sharing.count;
  i32[SHARE_ORIGIN_LENGTH >> 2] = core.bytes.write(sharing.origin, SHARE_ORIGIN, 'latin1');
}
