// Conformance, mutation, step 1: a case's documents with one field left out, or with another value.

import { parse, parseAllDocuments } from 'yaml';
import type { ConformanceCase } from '../case-file.js';
import {
  COVERED_KINDS,
  type CoveredKind,
  fieldsOf,
  itemSchema,
  oncePerMessage,
  specSchemaOf,
} from '../field-coverage/schema-fields.js';

type JsonSchema = ReturnType<typeof specSchemaOf>;
type Step = string | number;

/** A field that a case sets, and everywhere that it does. */
export interface FieldOfCase {
  readonly kind: CoveredKind;
  /** As `fieldsOf` calls it. */
  readonly field: string;
  readonly places: readonly Place[];
}

interface Place {
  /** Number of the document; the last one is mesh.yaml. */
  readonly document: number;
  readonly steps: readonly Step[];
  readonly schema: JsonSchema;
}

export interface Mutant {
  /** What was done to the field, in words. */
  readonly change: string;
  readonly mutated: ConformanceCase;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** All of a case's documents as plain data, mesh.yaml last. */
function documentsOf({ config, mesh }: ConformanceCase): unknown[] {
  return [...parseAllDocuments(config).map((document) => document.toJS() as unknown), parse(mesh) ?? {}];
}

/** A port that is chosen when the case starts is a number then. */
const QUOTED_PORT = /"(<[a-z][a-z0-9-]*:\d+>)"/g;

/** JSON is YAML, whatever a reader takes `yes` for. */
function withDocuments(written: ConformanceCase, documents: readonly unknown[]): ConformanceCase {
  const texts = documents.map((document) => `${JSON.stringify(document, null, 2)}\n`.replaceAll(QUOTED_PORT, '$1'));
  return { ...written, config: texts.slice(0, -1).join('---\n'), mesh: texts.at(-1) ?? '' };
}

/** Walks a value beside its schema, as `fieldsOf` walks the schema alone. */
function* placesIn(
  schema: JsonSchema,
  value: unknown,
  path: string,
  steps: readonly Step[],
): Generator<[string, Omit<Place, 'document'>]> {
  if (schema.enum !== undefined) {
    yield [`${path}=${String(value)}`, { steps, schema }];
    return;
  }
  const items = Array.isArray(value) ? schema.items : itemSchema(schema);
  const mark = Array.isArray(value) ? `${path}[]` : `${path}.*`;
  const isLeaf =
    items !== undefined ? fieldsOf(items, mark).join() === mark : Object.keys(schema.properties ?? {}).length === 0;
  if (isLeaf || typeof value !== 'object' || value === null) {
    yield [path, { steps, schema }];
    return;
  }
  for (const [key, each] of Object.entries(value)) {
    if (items !== undefined) yield* placesIn(items, each, mark, [...steps, Array.isArray(value) ? Number(key) : key]);
    else yield* placesIn(schema.properties?.[key] ?? {}, each, path === '' ? key : `${path}.${key}`, [...steps, key]);
  }
}

/** The fields that a case sets, in the order of its documents. */
export function fieldsOfCase(written: ConformanceCase): readonly FieldOfCase[] {
  const documents = documentsOf(written);
  const found = new Map<string, { kind: CoveredKind; field: string; places: Place[] }>();
  for (const [index, document] of documents.entries()) {
    const isMesh = index === documents.length - 1;
    const kind = isMesh ? 'MeshConfig' : COVERED_KINDS.find((each) => isObject(document) && document.kind === each);
    if (kind === undefined) continue;
    const root = isMesh ? [] : ['spec'];
    const spec = isMesh ? document : (document as Record<string, unknown>).spec;
    for (const [path, place] of placesIn(specSchemaOf(kind), spec, '', root)) {
      const field = oncePerMessage(path);
      const key = `${kind} ${field}`;
      if (!found.has(key)) found.set(key, { kind, field, places: [] });
      found.get(key)!.places.push({ ...place, document: index });
    }
  }
  return [...found.values()].filter(({ field }) => field !== '');
}

/** Leaves the place out, and what it leaves empty. */
function leaveOut(root: unknown, [step, ...rest]: readonly Step[]): void {
  const parent = root as Record<Step, unknown>;
  if (step === undefined) return;
  if (rest.length > 0) {
    leaveOut(parent[step], rest);
    const below = parent[step];
    const isEmpty = Array.isArray(below)
      ? below.every((each) => each === undefined)
      : Object.keys(below as object).length === 0;
    if (!isEmpty) return;
  }
  // Elements keep their numbers until all places are left out.
  if (Array.isArray(root)) root[step as number] = undefined;
  else delete parent[step];
}

function withoutGaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((each) => each !== undefined).map(withoutGaps);
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, withoutGaps(each)]));
}

const WORD = /^[A-Z][A-Z0-9-]+$/;
const ADDRESS = /^\d+\.\d+\.\d+\.\d+$/;
/** What a field of upper-case words may be instead, where the schema does not say. */
const WORDS = ['TCP', 'HTTP', 'HTTP2', 'POST'];

/** Other values than the given one, of which at least one should be valid. */
function othersThan(value: unknown, schema: JsonSchema): unknown[] {
  if (schema.enum !== undefined) return (schema.enum as unknown[]).filter((word) => word !== value);
  if (Array.isArray(value)) return othersOfAll(value, value, (values) => values);
  if (isObject(value)) {
    const names = Object.keys(value);
    const values = Object.values(value);
    const join = (others: readonly unknown[]) => Object.fromEntries(names.map((name, index) => [name, others[index]]));
    // Shares that have a sum keep it.
    return [join([...values.slice(1), values[0]]), ...othersOfAll(names, values, join)];
  }
  if (typeof value === 'boolean') return [!value];
  if (typeof value === 'number') return [value * 20 + 1, Math.floor(value / 3), value + 1, value - 1];
  if (typeof value !== 'string') return [];
  const duration = /^([\d.]+)(ms|s|m|h)$/.exec(value);
  if (duration !== null) return [`${Number(duration[1]) * 20 + 1}${duration[2]}`, '1ms', '1s', '60s'];
  if (ADDRESS.test(value)) return ['127.255.255.1'];
  if (value === '*' || value === '.') return [value === '*' ? '.' : '*'];
  if (/^\d+$/.test(value)) return [String(Number(value) + 1)];
  if (WORD.test(value)) return WORDS.filter((word) => word !== value);
  // Of a file there must be no other.
  if (value.startsWith('/dev/')) return ['/dev/null'];
  return [`${value}x`, `x${value}`, value.slice(1), 'x'];
}

function othersOfAll(
  items: readonly unknown[],
  values: readonly unknown[],
  join: (values: readonly unknown[]) => unknown,
): unknown[] {
  const others = items.map((_each, index) => othersThan(values[index], {}));
  return [0, 1, 2]
    .filter((choice) => others.some((of) => of.length > choice))
    .map((choice) => join(others.map((of, index) => of[choice] ?? of[0] ?? values[index])));
}

/** Places that are tried one by one. */
const ALONE = 6;

/** The mutants of a field in a case: in all of its places at once, then in each alone. */
export function* mutantsOf(written: ConformanceCase, { places }: FieldOfCase): Generator<Mutant> {
  yield* mutantsAt(written, places);
  if (places.length > 1) for (const place of places.slice(0, ALONE)) yield* mutantsAt(written, [place]);
}

function* mutantsAt(written: ConformanceCase, places: readonly Place[]): Generator<Mutant> {
  const left = documentsOf(written);
  for (const { document, steps } of places) leaveOut(left[document], steps);
  yield { change: 'left out', mutated: withDocuments(written, left.map(withoutGaps)) };
  for (let choice = 0; ; choice += 1) {
    const changed = documentsOf(written);
    const values = new Set<string>();
    for (const { document, steps, schema } of places) {
      const parent = steps
        .slice(0, -1)
        .reduce<unknown>((value, step) => (value as Record<Step, unknown>)[step], changed[document]);
      const last = steps.at(-1)!;
      const other = othersThan((parent as Record<Step, unknown>)[last], schema)[choice];
      if (other === undefined) continue;
      (parent as Record<Step, unknown>)[last] = other;
      values.add(JSON.stringify(other));
    }
    if (values.size === 0) return;
    yield { change: [...values].slice(0, 3).join(', '), mutated: withDocuments(written, changed) };
  }
}
