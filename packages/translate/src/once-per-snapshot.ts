// Translate: what is worked out once for each snapshot.

import type { MeshSnapshot } from './model.js';

/** Remembers one result for each snapshot: snapshots are immutable, so this changes nothing but the time it takes. */
export function oncePerSnapshot<T>(compute: (snapshot: MeshSnapshot) => T): (snapshot: MeshSnapshot) => T {
  const results = new WeakMap<MeshSnapshot, { readonly value: T }>();
  return (snapshot) => {
    let result = results.get(snapshot);
    if (result === undefined) {
      result = { value: compute(snapshot) };
      results.set(snapshot, result);
    }
    return result.value;
  };
}
