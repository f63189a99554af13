// What a downstream connection adds to every request head: the client's address and its certificate's XFCC element.
import * as L from './layout.js';
import { createSlotPool } from './slot-pool.js';

export interface ConnectionDescription {
  /** The client's address without port; for x-forwarded-for. */
  readonly remoteAddress: string;
  readonly tls: boolean;
  readonly mutualTls: boolean;
  /** The element for x-forwarded-client-cert, empty where there is no client certificate. */
  readonly xfcc: string;
  /** The URI of the verified client certificate, empty where there is none or nobody asks. */
  readonly principal?: string;
}

export interface ConnectionRecords {
  /** Offset of a new record, or 0 where none is left or the texts are too long (4 KiB): refuse the connection then. */
  create(description: ConnectionDescription): number;
  release(record: number): void;
}

/** Records live in two fixed pools, by size; nothing of them is read after release. */
export function createConnectionRecords(bytes: Buffer, i32: Int32Array): ConnectionRecords {
  const usual = createSlotPool(L.CONNECTION_RECORDS, L.CONNECTION_RECORD_BYTES, L.CONNECTION_RECORD_COUNT);
  const long = createSlotPool(
    L.LONG_CONNECTION_RECORDS,
    L.LONG_CONNECTION_RECORD_BYTES,
    L.LONG_CONNECTION_RECORD_COUNT,
  );
  return {
    create({ remoteAddress, tls, mutualTls, xfcc, principal = '' }) {
      const needed = L.CONNECTION_ADDRESS + remoteAddress.length + xfcc.length + principal.length;
      if (needed > L.LONG_CONNECTION_RECORD_BYTES) return 0;
      const record = (needed > L.CONNECTION_RECORD_BYTES ? long : usual).take();
      if (record === 0) return 0;
      const addressOffset = record + L.CONNECTION_ADDRESS;
      bytes.write(remoteAddress, addressOffset, 'latin1');
      bytes.write(xfcc, addressOffset + remoteAddress.length, 'latin1');
      const principalOffset = addressOffset + remoteAddress.length + xfcc.length;
      bytes.write(principal, principalOffset, 'latin1');
      i32[(record + L.CONNECTION_PRINCIPAL_OFFSET) >> 2] = principalOffset;
      i32[(record + L.CONNECTION_PRINCIPAL_LENGTH) >> 2] = principal.length;
      i32[(record + L.CONNECTION_FLAGS) >> 2] =
        (tls ? L.CONNECTION_TLS : 0) | (mutualTls ? L.CONNECTION_MUTUAL_TLS : 0);
      i32[(record + L.CONNECTION_ADDRESS_LENGTH) >> 2] = remoteAddress.length;
      i32[(record + L.CONNECTION_XFCC_OFFSET) >> 2] = addressOffset + remoteAddress.length;
      i32[(record + L.CONNECTION_XFCC_LENGTH) >> 2] = xfcc.length;
      i32.fill(0, (record + L.CONNECTION_COOKIE) >> 2, (record + L.CONNECTION_PRINCIPAL_OFFSET) >> 2);
      return record;
    },
    release: (record) => (record >= L.LONG_CONNECTION_RECORDS ? long : usual).release(record),
  };
}
