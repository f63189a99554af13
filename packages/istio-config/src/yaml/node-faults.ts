// YAML nodes: what YAML allows but JSON, which the API is, does not; and aliases that lead nowhere.
import { type Document, isAlias, isMap, isScalar, isSeq, type Node, visit } from 'yaml';

/** A fault at an offset of the text. */
export interface NodeFault {
  readonly offset: number;
  readonly code: string;
  readonly message: string;
}

/** Tags whose values JSON has. */
const JSON_TAGS: ReadonlySet<string> = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq', 'merge'].map((name) => `tag:yaml.org,2002:${name}`),
);

/** Finds the faults of a document that has no syntax error. */
export function nodeFaults(document: Document.Parsed, maxAliases: number): NodeFault[] {
  const faults: NodeFault[] = [];
  const anchors = new Map<string, Node>();
  let aliases = 0;
  const add = (node: Node, code: string, message: string) =>
    faults.push({ offset: node.range?.[0] ?? 0, code: `yaml-${code}`, message });
  visit(document, {
    Node: (place, node) => {
      if (place === 'key') checkKey(node, add);
      if (node.tag && !JSON_TAGS.has(node.tag)) {
        add(node, 'syntax', `the tag ${node.tag} is not one of JSON; remove it`);
      }
      if (!isAlias(node)) {
        if (node.anchor) anchors.set(node.anchor, node);
        return undefined;
      }
      if (!anchors.has(node.source)) {
        add(node, 'alias', 'no anchor of this name is before this alias; define it above, or put the text in quotes');
      }
      if (++aliases <= maxAliases) return undefined;
      add(node, 'alias', `the document uses more than ${maxAliases} aliases; use fewer`);
      return visit.BREAK;
    },
    Pair: (_place, pair) => {
      if (!isScalar(pair.key) || !(typeof pair.key.value === 'symbol' || pair.key.value === '<<')) return;
      for (const source of isSeq(pair.value) ? pair.value.items : [pair.value]) {
        const merged = isAlias(source) ? anchors.get(source.source) : source;
        const list = merged !== source && isSeq(merged);
        if (isMap(merged) || list) continue;
        add(pair.key, 'syntax', 'only mappings can be merged by `<<`; name the anchor of one');
      }
    },
  });
  return faults;
}

function checkKey(node: Node, add: (node: Node, code: string, message: string) => void): void {
  if (!isScalar(node)) {
    add(node, 'syntax', 'a key is a list, a mapping or an alias here; write a string');
  } else if (node.value === '__proto__') {
    // Objects of JavaScript have no such key of their own, so what is below it would go unchecked.
    add(node, 'syntax', 'the key __proto__ cannot be used; rename it');
  }
}
