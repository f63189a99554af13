// YAML → values with positions. Strict: duplicate keys, unknown tags, unresolved aliases and bombs are faults.
import { type Document, parseAllDocuments, type ScalarTag, type Tags } from 'yaml';
import { indexLines, type Position } from './line-index.js';
import { locateNode, type NodePart } from './locate.js';
import { nodeFaults } from './node-faults.js';

/** A document that could be read. */
export interface YamlDocument {
  /** Plain JSON values. */
  readonly value: unknown;
  /** Where the value or the key at a path is; the nearest thing above where the path does not exist. */
  locate(path: readonly (string | number)[], part: NodePart): Position;
}

/** Why a text, or one document of it, could not be read. */
export interface YamlFault extends Position {
  readonly code: string;
  readonly message: string;
}

/** What a text holds: documents, and faults. A document with a fault is not in the list. */
export interface YamlText {
  readonly documents: readonly YamlDocument[];
  readonly faults: readonly YamlFault[];
}

/** Limits that keep a hostile text from costing more than its size. */
export const YAML_LIMITS = {
  /** Of a text, in UTF-16 units. */
  maxLength: 16 * 1024 * 1024,
  /** Of one document (the Kubernetes API server's own limit is 1.5 MiB). */
  maxDocumentLength: 1536 * 1024,
  /** Values in a document, counted with aliases written out. */
  maxValues: 200_000,
  /** Levels of nesting. */
  maxDepth: 100,
  /** Aliases in a document. */
  maxAliases: 1000,
} as const;

/** YAML's core schema, but with Kubernetes's booleans: `kubectl` reads `yes`, `no`, `on` and `off` as booleans too. */
function kubernetesTags(tags: Tags): Tags {
  const boolean: ScalarTag = {
    tag: 'tag:yaml.org,2002:bool',
    default: true,
    test: /^(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/,
    identify: (value) => typeof value === 'boolean',
    resolve: (text) => /^(?:true|yes|on)$/i.test(text),
  };
  return tags.map((tag) => (typeof tag !== 'string' && tag.tag === boolean.tag ? boolean : tag));
}

/** Reads all documents of a text. Documents with nothing in them (only comments) are left out. */
export function readYaml(text: string): YamlText {
  if (text.length > YAML_LIMITS.maxLength) {
    const limit = YAML_LIMITS.maxLength / 1024 / 1024;
    return {
      documents: [],
      faults: [{ line: 1, column: 1, ...fault('size', `longer than ${limit} MiB`, 'split it') }],
    };
  }
  const at = indexLines(text);
  let parsed: readonly Document.Parsed[];
  try {
    const options = { prettyErrors: false, merge: true, customTags: kubernetesTags };
    const all = parseAllDocuments(text, options);
    parsed = Array.isArray(all) ? all : [];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // Composing recurses; a text of tens of thousands of brackets exhausts the stack.
    return { documents: [], faults: [{ ...at(0), ...nestingFault() }] };
  }
  const documents: YamlDocument[] = [];
  const faults: YamlFault[] = [];
  for (const document of parsed) {
    const found = documentFaults(document, at);
    faults.push(...found);
    if (found.length > 0 || document.contents === null) continue;
    const read = toValue(document);
    if ('message' in read) {
      faults.push({ ...at(document.contents.range[0]), ...read });
      continue;
    }
    if (read.value === null) continue;
    documents.push({ value: read.value, locate: (path, part) => at(locateNode(document, path, part)) });
  }
  return { documents, faults };
}

type Fault = Pick<YamlFault, 'code' | 'message'>;

function fault(code: string, what: string, advice: string): Fault {
  return { code: `yaml-${code}`, message: `the document is ${what}; ${advice}` };
}

function nestingFault(): Fault {
  return fault('depth', `nested deeper than ${YAML_LIMITS.maxDepth} levels`, 'make it flatter');
}

function documentFaults(document: Document.Parsed, at: (offset: number) => Position): YamlFault[] {
  const faults: YamlFault[] = [];
  const seen = new Set<string>();
  for (const { code, message, pos } of [...document.errors, ...document.warnings]) {
    const found = { ...at(pos[0]), ...describeFault(code, message) };
    const key = `${found.line}:${found.column} ${found.message}`;
    // One mistake often breaks what follows in several ways; the first few say where it is.
    if (!seen.has(key) && seen.size < MAX_SYNTAX_FAULTS) faults.push(found);
    seen.add(key);
  }
  const [start, , end] = document.range;
  if (end - start > YAML_LIMITS.maxDocumentLength) {
    const limit = YAML_LIMITS.maxDocumentLength / 1024;
    faults.push({ ...at(start), ...fault('size', `longer than ${limit} KiB`, 'split it') });
  }
  if (faults.length === 0) {
    for (const { offset, code, message } of nodeFaults(document, YAML_LIMITS.maxAliases)) {
      faults.push({ ...at(offset), code, message });
    }
  }
  return faults;
}

const MAX_SYNTAX_FAULTS = 10;

const SYNTAX_ADVICE: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'this key is there twice; keep one of them',
  TAB_AS_INDENT: 'a tab is used for indentation; write spaces',
  TAG_RESOLVE_FAILED: 'the tag is not known; remove it',
};

function describeFault(code: string, message: string): Fault {
  const advice = SYNTAX_ADVICE[code];
  if (advice) return { code: code === 'DUPLICATE_KEY' ? 'duplicate-key' : 'yaml-syntax', message: advice };
  if (message.startsWith('Maximum call stack')) return nestingFault();
  const what = message.replace(/\s+/g, ' ').replace(/\.?$/, '');
  return { code: 'yaml-syntax', message: `YAML syntax: ${what}; correct the text` };
}

function toValue(document: Document.Parsed): { value: unknown } | Fault {
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: YAML_LIMITS.maxAliases });
  } catch (error) {
    if (error instanceof RangeError) return nestingFault();
    // What the library throws for aliases within aliases whose number explodes.
    if (error instanceof ReferenceError)
      return fault('alias', 'growing without bound through its aliases', 'use fewer');
    throw error;
  }
  return measure(value) ?? { value };
}

/** Refuses values that are too deep (a cycle of aliases is infinitely so) or too many. */
function measure(root: unknown): Fault | undefined {
  const stack: { readonly value: unknown; readonly depth: number }[] = [{ value: root, depth: 0 }];
  let values = 0;
  for (let next = stack.pop(); next; next = stack.pop()) {
    const { value, depth } = next;
    if (++values > YAML_LIMITS.maxValues) {
      return fault('size', `made of more than ${YAML_LIMITS.maxValues} values`, 'split it');
    }
    if (typeof value === 'bigint') return fault('type', 'holding a number that is too large', 'put it in quotes');
    if (typeof value !== 'object' || value === null) continue;
    if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) {
      // Only a `%YAML 1.1` directive still gives such values: dates, sets.
      return fault('type', 'holding a value that JSON does not have', 'remove the %YAML directive');
    }
    if (depth >= YAML_LIMITS.maxDepth) return nestingFault();
    for (const child of Object.values(value)) stack.push({ value: child, depth: depth + 1 });
  }
  return undefined;
}
