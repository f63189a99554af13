// External authorization: the body of a request that waits, in the pieces in which it goes on, and without framing as far as it is told.

import * as L from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { BodySettings } from './authorizer.js';
import { MAX_BODY_BYTES } from './authorizer-counts.js';
import type { AskedBody } from './check-request.js';

export class BodyGatherer {
  private pieces: Buffer[] = [];
  /** Without framing; the same bytes as the pieces where there is none. */
  private content: Buffer[] = [];
  private settings: BodySettings | undefined;
  /** State of the chunk scanner; 0: the body is not chunked, or is not told. */
  private chunkState = 0;
  private keptBytes = 0;
  private complete = false;
  /** Bytes of it that are here, without framing. */
  length = 0;
  holding = false;
  /** No more of bodies can be kept. */
  full = false;

  constructor(private readonly path: DataPath) {}

  /** What is held already stays, for a second authorizer. */
  begin(settings: BodySettings | undefined, isChunked: boolean): void {
    const { core } = this.path;
    this.settings = settings;
    if (this.holding) return;
    this.holding = true;
    this.complete = false;
    this.full = false;
    this.length = 0;
    if (!isChunked) return;
    this.chunkState = core.chunkStates.take();
    if (this.chunkState === 0) this.full = true;
    else core.wasm.resetChunks(this.chunkState, L.CHUNK_MODE_DATA);
  }

  /** More has to be here before it can be told. */
  get wantsMore(): boolean {
    const { settings } = this;
    if (!this.holding || settings === undefined || this.complete || this.full) return false;
    return settings.partial ? this.length < settings.maxBytes : this.length <= settings.maxBytes;
  }

  /** It is longer than may be told, and may not be told in part. */
  get overflows(): boolean {
    const { settings } = this;
    return settings !== undefined && !settings.partial && this.length > settings.maxBytes;
  }

  hold(address: number, length: number, complete: boolean): void {
    const { core, authorizers } = this.path;
    this.complete = complete;
    if (length === 0 && this.pieces.length > 0) return;
    const piece = Buffer.from(core.bytes.subarray(address, address + length));
    this.pieces.push(piece);
    const content = this.chunkState === 0 ? piece : this.withoutFraming(piece);
    this.length += content.length;
    this.content.push(content);
    const kept = piece.length + (content === piece ? 0 : content.length);
    this.keptBytes += kept;
    authorizers.bodyBytes += kept;
    if (authorizers.bodyBytes > MAX_BODY_BYTES && this.wantsMore) this.full = true;
  }

  /** In a copy, since what goes on keeps its framing. */
  private withoutFraming(piece: Buffer): Buffer {
    const { core } = this.path;
    core.bytes.set(piece, L.EDITED_HEAD_BODY);
    core.wasm.scanChunks(this.chunkState, L.EDITED_HEAD_BODY, piece.length);
    const count = core.i32[(this.chunkState + L.CHUNK_FORWARD) >> 2]!;
    return Buffer.from(core.bytes.subarray(L.EDITED_HEAD_BODY, L.EDITED_HEAD_BODY + count));
  }

  /** What an authorizer is told; undefined where it is told nothing, or there is nothing. */
  told(): AskedBody | undefined {
    const { settings } = this;
    if (settings === undefined || (this.complete && this.length === 0)) return undefined;
    const all = Buffer.concat(this.content);
    const bytes = all.subarray(0, settings.maxBytes);
    return { bytes, partial: bytes.length !== all.length };
  }

  take(): readonly Buffer[] {
    const { pieces } = this;
    this.release();
    return pieces;
  }

  release(): void {
    const { core, authorizers } = this.path;
    authorizers.bodyBytes -= this.keptBytes;
    this.keptBytes = 0;
    this.pieces = [];
    this.content = [];
    this.holding = false;
    if (this.chunkState !== 0) core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
  }
}
