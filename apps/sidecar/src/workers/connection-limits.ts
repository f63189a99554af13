// Workers: one process's part of the limits of connections.

import { partOf, type Share } from '@lateen/filters-wasm';
import type { ConnectionLimits } from '../data-plane.js';

export function connectionLimitsOf({ total, ofListener }: ConnectionLimits, share: Share): ConnectionLimits {
  return {
    total: Number.isFinite(total) ? partOf(total, share) : total,
    ofListener: new Map([...ofListener].map(([name, limit]) => [name, partOf(limit, share)])),
  };
}
