// Fuzzing: YAML documents changed by field: values replaced, keys renamed, lists repeated, parts taken from another document.

import { type Document, isMap, isScalar, type Node, type Pair, parseAllDocuments, visit } from 'yaml';
import type { Random } from '../loop/random.js';
import { mutateBytes } from './mutate-bytes.js';
import { ODD_NUMBERS, ODD_TEXTS } from './odd-values.js';

const TOKENS = [
  '- ',
  ': ',
  '{}',
  '[]',
  '&a ',
  '*a',
  '<<: *a',
  '!!binary ',
  '|\n',
  '---\n',
  '...\n',
  '"',
  "'",
  '#',
  '? ',
  '\t',
  '%YAML 1.2\n',
].map((token) => Buffer.from(token));

/** Changes text as text one time in five; else some fields of its documents. Text that is no YAML is changed as text. */
export function mutateYaml(random: Random, input: Buffer, other: Buffer): Buffer {
  const asText = () => mutateBytes(random, input, other, TOKENS, 3);
  if (random.chance(0.2)) return asText();
  const documents = read(input);
  if (documents === undefined || documents.length === 0) return asText();
  const donors = read(other) ?? [];
  for (let edits = 1 + random.below(3); edits > 0; edits--) {
    mutateDocument(random, random.pick(documents), donors.length > 0 ? random.pick(donors) : undefined);
  }
  try {
    return Buffer.from(documents.map((document) => document.toString()).join('---\n'));
  } catch {
    return asText(); // an anchor whose node went away
  }
}

function read(text: Buffer): Document[] | undefined {
  try {
    const documents = parseAllDocuments(text.toString(), { logLevel: 'silent', uniqueKeys: false }) as unknown;
    const list = Array.isArray(documents) ? (documents as Document[]) : [];
    return list.every((document) => document.errors.length === 0) ? list.slice(0, 20) : undefined;
  } catch {
    return undefined;
  }
}

interface Parts {
  readonly pairs: Pair[];
  readonly lists: { readonly items: unknown[] }[];
}

function partsOf(document: Document): Parts {
  const parts: Parts = { pairs: [], lists: [] };
  visit(document, {
    Pair: (_key, pair) => {
      parts.pairs.push(pair);
    },
    Seq: (_key, list) => {
      parts.lists.push(list);
    },
  });
  return parts;
}

const clone = (node: unknown) => (node as { clone?: () => unknown } | null)?.clone?.() ?? node;

function mutateDocument(random: Random, document: Document, donor: Document | undefined): void {
  const { pairs, lists } = partsOf(document);
  const foreign = donor === undefined ? pairs : partsOf(donor).pairs;
  if (pairs.length === 0) {
    document.contents = document.createNode(oddValue(random)) as Node;
    return;
  }
  const pair = random.pick(pairs);
  switch (random.below(8)) {
    case 0:
      if (isScalar(pair.key)) pair.key = document.createNode(random.pick(ODD_TEXTS));
      return;
    case 1:
      if (foreign.length > 0) pair.value = clone(random.pick(foreign).value);
      return;
    case 2: {
      const list = lists.length > 0 ? random.pick(lists) : undefined;
      if (list === undefined) return;
      if (list.items.length > 0 && random.chance(0.5)) list.items.push(clone(random.pick(list.items)));
      else list.items.splice(random.below(list.items.length + 1), random.below(2));
      return;
    }
    case 3:
      addPair(random, pair, foreign);
      return;
    case 4:
      removePair(random, document);
      return;
    default:
      pair.value =
        isScalar(pair.value) && random.chance(0.3)
          ? near(random, document, pair.value.value)
          : document.createNode(oddValue(random));
  }
}

function addPair(random: Random, pair: Pair, foreign: readonly Pair[]): void {
  if (!isMap(pair.value) || foreign.length === 0) return;
  const added = random.pick(foreign);
  pair.value.items.push(clone(added) as Pair);
}

function removePair(random: Random, document: Document): void {
  const maps: { items: unknown[] }[] = [];
  visit(document, {
    Map: (_key, map) => {
      maps.push(map);
    },
  });
  const map = maps.length > 0 ? random.pick(maps) : undefined;
  map?.items.splice(random.below(map.items.length), 1);
}

/** A value that differs a little: one more, one character less, the same in the other case. */
function near(random: Random, document: Document, value: unknown): unknown {
  if (typeof value === 'number') return document.createNode(value + random.pick([-1, 1, 0.5, 1000]));
  if (typeof value === 'boolean') return document.createNode(!value);
  const text = String(value);
  const changed = random.pick([
    text.slice(1),
    text.slice(0, -1),
    `${text}${text}`,
    text.toUpperCase(),
    `*.${text}`,
    `${text}.`,
    `${text}/x`,
  ]);
  return document.createNode(changed);
}

function oddValue(random: Random): unknown {
  switch (random.below(6)) {
    case 0:
      return random.pick(ODD_NUMBERS);
    case 1:
      return random.pick([true, false, null]);
    case 2:
      return random.pick<unknown>([{}, [], [null], { '': '' }, [[]], { a: { b: [1] } }]);
    default:
      return random.pick(ODD_TEXTS);
  }
}
