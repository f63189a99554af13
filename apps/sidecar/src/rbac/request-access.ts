// RBAC: the filters of a chain, asked about one request in their order.

import type { LocalReply } from '../exchange/local-reply.js';
import type { DataPath } from '../transport/data-path.js';
import { type RbacFilter, type RbacNotes, type RuledParty, refusalOf } from './rbac-filter.js';

/** The filters of a chain by where they stand: before the one for CORS, and behind it. */
export interface ChainRbac {
  readonly beforeCors: readonly RbacFilter[];
  readonly afterCors: readonly RbacFilter[];
}

/** REQ_* is filled. The answer of the first filter that does not let the request pass; null where all do. */
export function accessRefusal(
  path: DataPath,
  filters: readonly RbacFilter[],
  listenerRecord: number,
  party: RuledParty,
  notes: RbacNotes | null,
): LocalReply | null {
  for (const filter of filters) {
    const details = refusalOf(path.core, filter, listenerRecord, party, notes);
    if (details !== '') return { status: 403, flags: 0, body: 'RBAC: access denied', details };
  }
  return null;
}
