// Authority: where roots of our own are kept: a state directory (directory-root-store.ts), or a Secret of a cluster
// (../cluster/secret-root-store.ts).

import type { RootState } from './root-state.js';
import type { StoredRoot } from './stored-root.js';

export interface StoredRoots {
  readonly state: RootState;
  /** Every root that is trusted, by its id. */
  readonly roots: ReadonlyMap<string, StoredRoot>;
}

/** Writes reject where another process is the writer by now; nothing is written then. */
export interface RootStore {
  /** What is stored; undefined where nothing ever was. @throws Error naming the part that cannot be used, and what to do */
  open(): Promise<StoredRoots | undefined>;
  /** Stores the first root; where another process was faster, resolves with what that one stored. */
  create(root: StoredRoot): Promise<StoredRoots>;
  /** Stores a root that was made; nobody trusts it yet. */
  add(root: StoredRoot): Promise<void>;
  /** Decides: from here on a restart goes on with this state. */
  commit(state: RootState): Promise<void>;
  /** Puts the bundle where local readers find it. */
  publish(bundlePem: string): Promise<void>;
  /** Removes what is left of a root that is trusted no more, or never was. */
  erase(id: string): Promise<void>;
  /** For a root whose certificates are valid no more: what to say, and to do. */
  expired(root: StoredRoot): Error;
}
