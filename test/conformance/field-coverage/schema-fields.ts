// Conformance, coverage: the fields of a kind, from the schema that is checked against Istio's published types
// (packages/istio-config/test/completeness.test.ts), and those of them that a document sets.

import { isKind, type JsonSchema, jsonSchema, type Kind } from '@lateen/istio-config';

/** Kinds of which every field needs a case, or a line in not-acted-on.yaml. */
export const COVERED_KINDS = [
  'VirtualService',
  'DestinationRule',
  'Gateway',
  'ServiceEntry',
  'WorkloadEntry',
  'WorkloadGroup',
  'Sidecar',
  'ProxyConfig',
  'MeshConfig',
  'RateLimit',
  'HealthCheck',
  'PeerAuthentication',
  'RequestAuthentication',
  'AuthorizationPolicy',
] as const;
export type CoveredKind = (typeof COVERED_KINDS)[number];

/**
 * Where the same message stands in several places, cases need its fields in one of them; that the other places count is a
 * field of its own (`subsets[].trafficPolicy`, `portLevelSettings[].port`).
 */
const SAME_MESSAGE: readonly (readonly [RegExp, string])[] = [
  [/^subsets\[\]\.trafficPolicy\./, 'trafficPolicy.'],
  [/\bportLevelSettings\[\]\.(?!port\b)/, ''],
];

/** The name by which a field is known wherever its message stands. */
export function oncePerMessage(field: string): string {
  return SAME_MESSAGE.reduce((name, [place, instead]) => name.replace(place, instead), field);
}

/** The schema of a kind's spec. */
export function specSchemaOf(kind: CoveredKind): JsonSchema {
  const schema = jsonSchema(kind as Kind | 'MeshConfig');
  return isKind(kind) ? (schema.properties?.spec ?? {}) : schema;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `a.b`, `a[]`, `a.*`. */
const below = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);

/** What each item of a map looks like. */
export function itemSchema({ additionalProperties }: JsonSchema): JsonSchema | undefined {
  return isObject(additionalProperties) ? (additionalProperties as JsonSchema) : undefined;
}

/**
 * Every field that holds no other, as `http[].match[].uri.exact`; of an enumeration one for each word, as
 * `trafficPolicy.tls.mode=SIMPLE`.
 */
export function fieldsOf(schema: JsonSchema, path = ''): readonly string[] {
  const words = schema.enum as readonly string[] | undefined;
  if (words !== undefined) return words.map((word) => `${path}=${word}`);
  if (schema.items !== undefined) {
    const items = fieldsOf(schema.items, `${path}[]`);
    return items.length === 1 && items[0] === `${path}[]` ? [path] : items;
  }
  const item = itemSchema(schema);
  if (item !== undefined) {
    const items = fieldsOf(item, `${path}.*`);
    return items.length === 1 && items[0] === `${path}.*` ? [path] : items;
  }
  const properties = Object.entries(schema.properties ?? {});
  if (properties.length === 0) return [path];
  return properties.flatMap(([name, child]) => fieldsOf(child, below(path, name)));
}

/** The fields, in the form of `fieldsOf`, that a value sets. */
export function fieldsSet(schema: JsonSchema, value: unknown, path = ''): readonly string[] {
  if (schema.enum !== undefined) return [`${path}=${String(value)}`];
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return [path];
    return value
      .flatMap((each) => fieldsSet(items, each, `${path}[]`))
      .flatMap((field) => [field, field.replace(/\[\]$/, '')]);
  }
  if (!isObject(value)) return [path];
  const entries = Object.entries(value).flatMap(([name, each]) => {
    const child = schema.properties?.[name];
    if (child !== undefined) return fieldsSet(child, each, below(path, name));
    const item = itemSchema(schema);
    return item === undefined ? [] : fieldsSet(item, each, `${path}.*`);
  });
  return [path, ...entries];
}

/** Texts of which one suits any field: a duration and a name, an address, a number. */
export const SAMPLE_TEXTS = ['1s', '1.2.3.4', '10%'] as const;

/** A document's spec that sets one field. @param text for a field that holds a text */
export function specSetting(schema: JsonSchema, field: string, text: string): unknown {
  const word = /=(.*)$/.exec(field)?.[1] ?? text;
  return valueFor(schema, stepsOf(field), word);
}

/** The steps of a field: `a[].b` is a, [], b. */
export function stepsOf(field: string): readonly string[] {
  const path = field.replace(/=.*$/, '').replaceAll('[]', '.[]');
  return path.split('.').filter((step) => step !== '');
}

function valueFor(schema: JsonSchema, [step, ...rest]: readonly string[], text: string): unknown {
  if (step === undefined) return sampleOf(schema, text);
  if (step === '[]') return [valueFor(schema.items ?? {}, rest, text)];
  if (step === '*') return { sample: valueFor(itemSchema(schema) ?? {}, rest, text) };
  return { [step]: valueFor(schema.properties?.[step] ?? {}, rest, text) };
}

function sampleOf(schema: JsonSchema, text: string): unknown {
  if (schema.items !== undefined) return [sampleOf(schema.items, text)];
  const item = itemSchema(schema);
  if (item !== undefined) return { sample: sampleOf(item, text) };
  if (schema.type === 'boolean') return true;
  if (schema.type === 'integer' || schema.type === 'number') return Math.max(1, Number(schema.minimum ?? 1));
  return schema.type === 'object' ? {} : text;
}
