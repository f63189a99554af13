// Store: the accepted resources of every type, as immutable maps, and how an update makes the next ones.

import type { Any } from '@bufbuild/protobuf/wkt';
import { TYPE_URL, type XdsTypeUrl } from '@lateen/xds-proto';
import type { ResourceMessages } from '../decode-resource.js';

/** One accepted resource. */
export interface ResourceEntry<T> {
  readonly name: string;
  readonly version: string;
  readonly value: T;
  /** As received. */
  readonly any: Any;
  /** Milliseconds since the epoch. */
  readonly updatedMs: number;
}

export type EntryMap<Url extends XdsTypeUrl> = ReadonlyMap<string, ResourceEntry<ResourceMessages[Url]>>;

/** Everything that came over xDS (or from disk), by type and name. */
export type ResourceState = { readonly [Url in XdsTypeUrl]: EntryMap<Url> };

export const EMPTY_STATE: ResourceState = {
  [TYPE_URL.listener]: new Map(),
  [TYPE_URL.route]: new Map(),
  [TYPE_URL.cluster]: new Map(),
  [TYPE_URL.endpoint]: new Map(),
  [TYPE_URL.secret]: new Map(),
};

export interface ResourceChange<Url extends XdsTypeUrl = XdsTypeUrl> {
  readonly typeUrl: Url;
  readonly upserts: readonly ResourceEntry<ResourceMessages[Url]>[];
  readonly removed: readonly string[];
}

/**
 * The state after a change. A resource whose bytes are the same keeps its message object, so that everything made from
 * it (tables, listeners) is recognised as unchanged.
 */
export function applyChange<Url extends XdsTypeUrl>(state: ResourceState, change: ResourceChange<Url>): ResourceState {
  const before = state[change.typeUrl] as EntryMap<Url>;
  const after = new Map(before);
  for (const name of change.removed) after.delete(name);
  for (const entry of change.upserts) {
    const held = before.get(entry.name);
    const same = held !== undefined && Buffer.compare(held.any.value, entry.any.value) === 0;
    after.set(entry.name, same ? { ...held, version: entry.version } : entry);
  }
  return { ...state, [change.typeUrl]: after };
}

/** The state with one resource as it was before, which may mean its absence. */
export function revertResource(
  state: ResourceState,
  good: ResourceState,
  typeUrl: XdsTypeUrl,
  name: string,
): ResourceState {
  const map = new Map<string, ResourceEntry<never>>(state[typeUrl] as ReadonlyMap<string, ResourceEntry<never>>);
  const held = good[typeUrl].get(name) as ResourceEntry<never> | undefined;
  if (held === undefined) map.delete(name);
  else map.set(name, held);
  return { ...state, [typeUrl]: map };
}
