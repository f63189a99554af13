// YAML nodes: finds where the value or the key at a path was written, through aliases and merge keys.
import { type Document, isAlias, isMap, isPair, isScalar, isSeq, type Node, type Pair, type YAMLMap } from 'yaml';

/** The key of a field, or its value. */
export type NodePart = 'key' | 'value';

const MAX_HOPS = 50;

/** The offset in the text of what is at a path; of the key of the nearest thing above it where there is nothing. */
export function locateNode(document: Document, path: readonly (string | number)[], part: NodePart): number {
  let node = resolve(document, document.contents);
  let offset = startOf(document.contents) ?? 0;
  for (const [index, step] of path.entries()) {
    const last = index === path.length - 1;
    if (isMap(node)) {
      const pair = findPair(document, node, String(step));
      if (!pair) return offset;
      const keyStart = startOf(pair.key);
      const value = asNode(pair.value);
      const emptyValue = value === null || (isScalar(value) && value.range && value.range[0] === value.range[1]);
      if (last && part === 'value' && !emptyValue) return startOf(value) ?? keyStart ?? offset;
      offset = keyStart ?? offset;
      node = resolve(document, value);
    } else if (isSeq(node)) {
      const item = asNode(node.items[Number(step)]);
      if (!item) return offset;
      offset = startOf(item) ?? offset;
      node = resolve(document, item);
    } else {
      return offset;
    }
  }
  return offset;
}

function asNode(value: unknown): Node | null {
  return isAlias(value) || isScalar(value) || isMap(value) || isSeq(value) ? value : null;
}

function startOf(value: unknown): number | undefined {
  return asNode(value)?.range?.[0];
}

function resolve(document: Document, start: Node | null): Node | null {
  let node = start;
  for (let hops = 0; isAlias(node) && hops < MAX_HOPS; hops++) node = node.resolve(document) ?? null;
  return node;
}

/** A map's own pair before one that comes in by a merge key; of several merged maps the first. */
function findPair(document: Document, map: YAMLMap, key: string, depth = 0): Pair | undefined {
  const own = map.items.find((pair) => keyText(pair) === key);
  if (own || depth > MAX_HOPS) return own;
  for (const pair of map.items) {
    if (keyText(pair) !== '<<') continue;
    const merged = resolve(document, asNode(pair.value));
    for (const source of isSeq(merged) ? merged.items : [merged]) {
      const from = resolve(document, asNode(source));
      const found = isMap(from) ? findPair(document, from, key, depth + 1) : undefined;
      if (found) return found;
    }
  }
  return undefined;
}

function keyText(pair: unknown): string | undefined {
  if (!isPair(pair)) return undefined;
  if (pair.key === null) return '';
  if (!isScalar(pair.key)) return undefined;
  if (typeof pair.key.value === 'symbol') return '<<';
  return pair.key.value === null ? '' : String(pair.key.value);
}
