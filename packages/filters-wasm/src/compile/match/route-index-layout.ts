// Layout of a virtual host's index of routes by their literal paths, compiled by TypeScript and by AssemblyScript as layout.ts.
// It leads to the routes that may match a path; which one does is decided in the order of routes, as without it.

/** Slots of the hash table less one; relative offset of ROUTE_SLOT. */
export const ROUTE_INDEX_MASK = 0;
export const ROUTE_INDEX_SLOTS = 4;
/** The lengths that literals have, ascending: relative offset of i32, count. */
export const ROUTE_INDEX_LENGTHS = 8;
export const ROUTE_INDEX_LENGTH_COUNT = 12;
/** Places of the routes that are not in the table (their paths may begin with anything), ascending: relative offset of i32, count. */
export const ROUTE_INDEX_REST = 16;
export const ROUTE_INDEX_REST_COUNT = 20;
export const ROUTE_INDEX_BYTES = 24;

/** Hash of a literal; the literal in lower case: relative offset, length; places of its routes: relative offset, count (0: a free slot). */
export const ROUTE_SLOT_HASH = 0;
export const ROUTE_SLOT_LITERAL = 4;
export const ROUTE_SLOT_LITERAL_LENGTH = 8;
export const ROUTE_SLOT_ROUTES = 12;
export const ROUTE_SLOT_ROUTE_COUNT = 16;
export const ROUTE_SLOT_BYTES = 24;

/** With fewer literals than this a virtual host has no index: looking at its routes one by one is as fast. */
export const ROUTE_INDEX_MIN_LITERALS = 12;
/** A table has literals of so many different lengths; each of them costs a lookup. Those of rarer lengths are in the rest. */
export const ROUTE_INDEX_MAX_LENGTHS = 64;
