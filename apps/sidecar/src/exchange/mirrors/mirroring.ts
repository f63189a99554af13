// Mirrors: the copies that one request feeds, as its route's policy says; nothing here ever makes the request wait.

import {
  LIMIT_REQUESTS,
  MIRROR_BYTES,
  MIRROR_CLUSTER,
  MIRROR_KEEPS_HOST,
  MIRROR_SHARE,
  MIRRORS_FIRST,
  POLICY_MIRRORS,
} from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { KeptRequest } from '../kept-request.js';
import { MirroredRequest, type MirrorSource } from './mirrored-request.js';
import { shadowHead } from './shadow-head.js';

/** One for each exchange that ever had a mirror, used again for each of its requests. */
export class Mirroring {
  /** Copies whose request has not ended; the others go on by themselves. */
  private fed: MirroredRequest[] = [];

  constructor(private readonly path: DataPath) {}

  /** Starts the copies with what is here of the request: its head as it goes to its own cluster, and its body so far. */
  begin(policy: number, kept: KeptRequest, timeoutMs: number, source: MirrorSource): void {
    const { i32 } = this.path.core;
    this.fed = [];
    const list = policy + i32[(policy + POLICY_MIRRORS) >> 2]!;
    let copy: ReturnType<KeptRequest['copy']> | undefined;
    for (let index = 0, count = i32[list >> 2]!; index < count; index++) {
      const mirror = list + MIRRORS_FIRST + index * MIRROR_BYTES;
      if (Math.random() * 1_000_000 >= i32[(mirror + MIRROR_SHARE) >> 2]!) continue;
      const request = this.open(i32[(mirror + MIRROR_CLUSTER) >> 2]!, timeoutMs, source);
      if (request === null) continue;
      copy ??= kept.copy();
      this.fed.push(request);
      request.begin(i32[(mirror + MIRROR_KEEPS_HOST) >> 2] === 1 ? copy.head : shadowHead(copy.head), copy.body);
      if (copy.trailers !== null) request.addTrailers(copy.trailers);
    }
  }

  /** More of the body. */
  add(address: number, length: number): void {
    if (length === 0 || this.fed.length === 0) return;
    const bytes = Buffer.from(this.path.core.bytes.subarray(address, address + length));
    for (const request of this.fed) request.add(bytes);
  }

  /** Trailers, as header lines; the end of the request follows. */
  addTrailers(address: number, length: number): void {
    if (this.fed.length === 0) return;
    const lines = Buffer.from(this.path.core.bytes.subarray(address, address + length));
    for (const request of this.fed) request.addTrailers(lines);
  }

  /** The request is complete: its copies no longer depend on it. */
  end(): void {
    for (const request of this.fed) request.end();
    this.fed = [];
  }

  /** The request has ended before it was complete, and so do its copies. */
  cancel(): void {
    for (const request of this.fed) request.giveUp();
    this.fed = [];
  }

  /** Null where nobody is there to take a copy, or the cluster's limit of requests is reached. */
  private open(clusterSlot: number, timeoutMs: number, source: MirrorSource): MirroredRequest | null {
    const { path } = this;
    const slot = path.core.wasm.pick(clusterSlot, 0, 1);
    const endpoint = slot < 0 ? undefined : path.endpoints[slot];
    if (endpoint === undefined || path.core.wasm.acquire(clusterSlot, LIMIT_REQUESTS) === 0) return null;
    return new MirroredRequest(path, path.mirrorMemory, clusterSlot, endpoint, timeoutMs, source);
  }
}
