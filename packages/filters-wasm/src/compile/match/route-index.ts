// A virtual host's index of routes by their literal paths, so that the cost of a request does not grow with their number.

import type { Route } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { BlobWriter } from '../blob-writer.js';
import type { CompileContext } from '../compile-context.js';
import * as I from './route-index-layout.js';

/** Places of routes by their literal in lower case: case is looked at when the route is. */
type PlacesByLiteral = Map<string, number[]>;

/** Of ASCII letters, as the core compares. */
function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/**
 * What everything that an expression matches begins with, as far as plain letters say it. A letter before a quantifier may
 * be missing, and behind an alternation anything may stand.
 */
function leadingLiteral(regex: string): string {
  if (regex.includes('|')) return '';
  const literal = /^[A-Za-z0-9/_~%:@!,;=&-]*/.exec(regex)?.[0] ?? '';
  return '*?{+'.includes(regex[literal.length] ?? ' ') ? literal.slice(0, -1) : literal;
}

/** What a path must begin with, or be, in lower case; undefined where it may begin with anything. */
function literalOf({ match }: Route): string | undefined {
  const specifier = match?.pathSpecifier;
  switch (specifier?.case) {
    case 'prefix':
    case 'path':
    case 'pathSeparatedPrefix':
      return lowerCase(specifier.value) || undefined;
    case 'safeRegex':
      return lowerCase(leadingLiteral(specifier.value.regex)) || undefined;
    default:
      return undefined;
  }
}

/** The lengths that most literals have, ascending. */
function commonLengths(byLiteral: PlacesByLiteral): number[] {
  const counts = new Map<number, number>();
  for (const literal of byLiteral.keys()) {
    const length = Buffer.byteLength(literal);
    counts.set(length, (counts.get(length) ?? 0) + 1);
  }
  const mostFirst = [...counts].sort(([, a], [, b]) => b - a);
  return mostFirst
    .slice(0, I.ROUTE_INDEX_MAX_LENGTHS)
    .map(([length]) => length)
    .sort((a, b) => a - b);
}

function writeInts(blob: BlobWriter, values: readonly number[]): number {
  const at = blob.reserve(values.length * 4);
  values.forEach((value, index) => {
    blob.int(at + index * 4, value);
  });
  return at;
}

/** Slots are at most half taken. */
function writeSlots(context: CompileContext, blob: BlobWriter, index: number, byLiteral: PlacesByLiteral): void {
  let capacity = 4;
  while (capacity < byLiteral.size * 2) capacity *= 2;
  const slots = blob.reserve(capacity * I.ROUTE_SLOT_BYTES);
  const taken = new Uint8Array(capacity);
  for (const [literal, places] of byLiteral) {
    const hash = context.hashName(literal);
    let place = hash & (capacity - 1);
    while (taken[place] === 1) place = (place + 1) & (capacity - 1);
    taken[place] = 1;
    const slot = slots + place * I.ROUTE_SLOT_BYTES;
    blob.int(slot + I.ROUTE_SLOT_HASH, hash);
    blob.text(slot + I.ROUTE_SLOT_LITERAL, literal);
    blob.int(slot + I.ROUTE_SLOT_ROUTES, writeInts(blob, places));
    blob.int(slot + I.ROUTE_SLOT_ROUTE_COUNT, places.length);
  }
  blob.int(index + I.ROUTE_INDEX_MASK, capacity - 1);
  blob.int(index + I.ROUTE_INDEX_SLOTS, slots);
}

/** Writes the index; its relative offset, or 0 where there are too few literals for one. */
export function writeRouteIndex(context: CompileContext, blob: BlobWriter, routes: readonly Route[]): number {
  const byLiteral: PlacesByLiteral = new Map();
  const rest: number[] = [];
  routes.forEach((route, place) => {
    const literal = literalOf(route);
    const same = literal === undefined ? rest : byLiteral.get(literal);
    if (same !== undefined) same.push(place);
    else if (literal !== undefined) byLiteral.set(literal, [place]);
  });
  if (byLiteral.size < I.ROUTE_INDEX_MIN_LITERALS) return 0;
  const lengths = commonLengths(byLiteral);
  const isCommon = new Set(lengths);
  for (const [literal, places] of byLiteral) {
    if (isCommon.has(Buffer.byteLength(literal))) continue;
    byLiteral.delete(literal);
    rest.push(...places);
  }
  rest.sort((a, b) => a - b);
  const index = blob.reserve(I.ROUTE_INDEX_BYTES);
  writeSlots(context, blob, index, byLiteral);
  blob.int(index + I.ROUTE_INDEX_LENGTHS, writeInts(blob, lengths));
  blob.int(index + I.ROUTE_INDEX_LENGTH_COUNT, lengths.length);
  blob.int(index + I.ROUTE_INDEX_REST, writeInts(blob, rest));
  blob.int(index + I.ROUTE_INDEX_REST_COUNT, rest.length);
  return index;
}
