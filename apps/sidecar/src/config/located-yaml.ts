// Configuration files: YAML or JSON text to values, each of which knows its line and column.

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
} from 'yaml';

/** A fault at a place of a file. */
export interface FileProblem {
  readonly line: number;
  readonly column: number;
  /** Field path, for example `static_resources.clusters[0].name`; empty for the whole file. */
  readonly path: string;
  readonly message: string;
}

export type PathStep = string | number;

export interface LocatedDocument {
  readonly value: unknown;
  /** The place of a key (`atKey`) or a value; of the nearest thing around it where it does not exist. */
  locate(path: readonly PathStep[], atKey?: boolean): { line: number; column: number };
}

/** More than a bootstrap file ever needs; protects against alias bombs. */
const MAX_ALIASES = 1_000;

/**
 * Parses one YAML document (JSON is YAML). Returns problems instead where the text is not well-formed.
 * @param expected what an empty file lacks, for the message
 */
export function parseLocatedYaml(text: string, expected = 'an Envoy v3 bootstrap'): LocatedDocument | FileProblem[] {
  const { documents, place } = parseText(text);
  if (!Array.isArray(documents) || documents.length === 0) {
    return [{ line: 1, column: 1, path: '', message: `the file is empty; ${expected} is expected` }];
  }
  const problems: FileProblem[] = documents.flatMap((document) =>
    [...document.errors, ...document.warnings].map((error) => ({
      ...place(error.pos[0]),
      path: '',
      message: error.message,
    })),
  );
  const [document, second] = documents;
  if (second?.range !== undefined && second.range !== null) {
    problems.push({ ...place(second.range[0]), path: '', message: 'only one document is expected' });
  }
  if (problems.length > 0 || document === undefined) return problems;

  // The tree of a large file is many times the text, and whoever keeps `locate` hardly ever calls it again.
  let parsed = new WeakRef({ document, place });
  const locate = (path: readonly PathStep[], atKey = false) => {
    const { document, place } = parsed.deref() ?? parseAgain();
    const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
    let node: unknown = document.contents;
    let offset = offsetOf(node) ?? 0;
    path.forEach((step, index) => {
      const container = resolve(node);
      // One value in place of a list of one.
      if (step === 0 && !isSeq(container)) return;
      let next: unknown;
      if (isMap(container)) {
        const pair = container.items.find(
          ({ key }: Pair) => isScalar(key) && sameName(String(key.value), String(step)),
        );
        next = pair?.value;
        const at = atKey && index === path.length - 1 ? pair?.key : (pair?.value ?? pair?.key);
        offset = offsetOf(at) ?? offset;
      } else if (isSeq(container)) {
        next = container.items[Number(step)];
        offset = offsetOf(next) ?? offset;
      }
      node = next;
    });
    return place(offset);
  };
  const parseAgain = () => {
    const { documents, place } = parseText(text);
    // It was parsed without a problem before.
    const again = { document: documents[0] as Document.Parsed, place };
    parsed = new WeakRef(again);
    return again;
  };
  try {
    return { value: document.toJS({ maxAliasCount: MAX_ALIASES }), locate };
  } catch (error) {
    return [{ line: 1, column: 1, path: '', message: (error as Error).message }];
  }
}

function parseText(text: string) {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, uniqueKeys: true, merge: true, prettyErrors: false });
  const place = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  return { documents, place };
}

/** Protobuf's JSON form allows `loadAssignment` for `load_assignment`. */
function sameName(key: string, step: string): boolean {
  return key === step || key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) === step;
}

function offsetOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}
