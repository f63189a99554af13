// HTTP/2 codec: joins the fragments of a header block (HEADERS and CONTINUATION) to one, within a bound.

import { H2_BLOCK_BUFFER, H2_MAX_BLOCK_BYTES } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import { HeldBytes } from '../../transport/held-bytes.js';

export class HeaderBlock {
  /** The stream whose block is incomplete: only its CONTINUATION may follow; 0 where there is none. */
  streamId = 0;
  endStream = false;
  /** Where the joined block is. */
  address = 0;
  length = 0;
  private readonly held: HeldBytes;

  constructor(path: DataPath) {
    this.held = new HeldBytes(path.core);
  }

  begin(streamId: number, endStream: boolean): void {
    this.streamId = streamId;
    this.endStream = endStream;
    this.length = 0;
  }

  /** Adds a fragment; false where the block would be larger than allowed. After the last one it is at `address`. */
  add(address: number, length: number, last: boolean): boolean {
    const { held } = this;
    if (held.length + length > H2_MAX_BLOCK_BYTES) return false;
    if (last && held.length === 0) {
      this.address = address;
      this.length = length;
    } else {
      held.append(address, length);
      if (!last) return true;
      this.address = H2_BLOCK_BUFFER;
      this.length = held.takeTo(H2_BLOCK_BUFFER, held.length);
    }
    this.streamId = 0;
    return true;
  }

  release(): void {
    this.held.clear();
  }
}
