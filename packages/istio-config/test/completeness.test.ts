// The declared kinds have exactly the fields, types, words, one-ofs and versions of Istio's published API, so that none is forgotten.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { childSchema, messageDescription, unwrapSchema } from '../src/declare/message.js';
import { describeKind, ISTIO_KINDS, type JsonSchema, jsonSchema } from '../src/index.js';
import { specSchema } from '../src/kinds/registry.js';
import { isPublished, type PublishedType, publishedSpec } from './published-types.js';

/**
 * Where a declaration says something else than the published types, with the reason. `+` is declared and not published;
 * `-` is published and not declared. A line ends so in every kind that has it.
 */
const DIFFERENCES: readonly { readonly ending: string; readonly reason: string }[] = [
  { ending: '+ one of endpoints, workloadSelector', reason: "Istio's validation takes only one of them" },
  { ending: '+ one of targetRefs, workloadSelector', reason: "a rule of Istio's CRD takes only one of them" },
  { ending: '+ jwtRules[] one of jwks, jwksUri, jwks_uri', reason: "a rule of Istio's CRD takes only one of them" },
  { ending: '+ one of selector, targetRef, targetRefs', reason: "Istio's validation takes only one of them" },
  { ending: '+ rewrite one of uri, uriRegexRewrite', reason: "Istio's validation takes only one of them" },
  { ending: '+ loadBalancer one of warmup, warmupDurationSecs', reason: 'the first replaces the second' },
  { ending: '+ localityLbSetting one of distribute, failover', reason: "Istio's validation takes only one of them" },
  {
    ending: '+ localityLbSetting one of distribute, failoverPriority',
    reason: "Istio's validation takes only one of them",
  },
];

/** The part of a line that an `ending` is written as: its sign, the last field of its path, and the rest. */
function ending(line: string): string {
  return line.replace(/^([+-]) (?:\S*[.])?(?=[^ .]* )/, '$1 ').replace(/^([+-]) {2}/, '$1 ');
}

/** Everything below a published type, one line each: fields with their types, words of enumerations, one-ofs. */
function publishedLines(type: PublishedType, path = ''): string[] {
  switch (type.kind) {
    case 'scalar':
      return [`${path}: ${type.type}`];
    case 'words':
      return type.words.map((word) => `${path}=${word}`);
    case 'list':
      return publishedLines(type.item, `${path}[]`);
    case 'map':
      return publishedLines(type.item, `${path}.*`);
    case 'object': {
      const fields = Object.entries(type.fields);
      if (fields.length === 0) return [`${path}: {}`];
      const groups = type.oneOfs.map((group) => `${path} one of ${[...group].sort().join(', ')}`);
      return [...groups, ...fields.flatMap(([name, field]) => [...below(path, name, publishedLines, field)])];
    }
  }
}

/** The same of a declared schema. */
function declaredLines(schema: z.core.$ZodType, path = ''): string[] {
  const bare = unwrapSchema(schema);
  if (bare instanceof z.ZodEnum) return bare.options.map((word) => `${path}=${word}`);
  if (bare instanceof z.ZodArray) return declaredLines(bare.element, `${path}[]`);
  if (bare instanceof z.ZodRecord) return declaredLines(bare.valueType, `${path}.*`);
  if (!(bare instanceof z.ZodObject)) return [`${path}: ${scalarType(bare)}`];
  const names = Object.keys(bare.shape);
  if (names.length === 0) return [`${path}: {}`];
  const { atMostOneOf = [], exactlyOneOf = [] } = messageDescription(bare) ?? {};
  const groups = [...atMostOneOf, ...exactlyOneOf].map((group) => `${path} one of ${[...group].sort().join(', ')}`);
  return [...groups, ...names.flatMap((name) => below(path, name, declaredLines, childSchema(bare, name)!))];
}

function below<T>(path: string, name: string, lines: (type: T, path: string) => string[], type: T): string[] {
  const at = path === '' ? name : `${path}.${name}`;
  return [at, ...lines(type, at)];
}

function scalarType(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodString) return 'string';
  if (schema instanceof z.ZodNumber) return 'number';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodUnion) return schema.options.map(scalarType).sort().join(' or ');
  if (schema instanceof z.ZodUnknown) return 'not looked into';
  throw new Error(`no name for the type ${schema._zod.def.type}`);
}

const used = new Set<(typeof DIFFERENCES)[number]>();
const VERSIONS = ['v1alpha1', 'v1alpha3', 'v1beta1', 'v1'];

// Of our own kinds nothing is published elsewhere.
describe.each(ISTIO_KINDS.filter((kind) => describeKind(kind).group !== 'lateen.io'))('%s', (kind) => {
  const { group, versions } = describeKind(kind);

  test('has the published versions', () => {
    const published = VERSIONS.filter((version) => isPublished(group, version, kind));
    expect([...versions].sort()).toEqual(published.sort());
  });

  test.each(versions)('%s has the published fields', (version) => {
    const published = new Set(publishedLines(publishedSpec(group, version, kind)));
    const declared = new Set(declaredLines(specSchema(kind)));
    const differences = [
      ...[...declared].filter((line) => !published.has(line)).map((line) => `+ ${line}`),
      ...[...published].filter((line) => !declared.has(line)).map((line) => `- ${line}`),
    ];
    const known = differences.map((line) => DIFFERENCES.find((one) => one.ending === ending(line)));
    expect(differences.filter((_, index) => known[index] === undefined)).toEqual([]);
    for (const one of known) if (one) used.add(one);
    expect(published.size).toBeGreaterThan(3);
  });
});

test('no reason is given for a difference that there is not', () => {
  expect(DIFFERENCES.filter((one) => !used.has(one))).toEqual([]);
});

/** Fields and words of a JSON schema, as published/mesh-config.txt calls them; `opaque` are those that are not looked into. */
function fieldsBelow(schema: JsonSchema, path: string, fields: Set<string>, opaque: Set<string>): void {
  const { items, properties, additionalProperties } = schema;
  const words = schema.enum as readonly string[] | undefined;
  for (const word of words ?? []) fields.add(`${path}=${word}`);
  if (items !== undefined) fieldsBelow(items, `${path}[]`, fields, opaque);
  if (typeof additionalProperties === 'object') {
    fieldsBelow(additionalProperties as JsonSchema, `${path}.*`, fields, opaque);
  }
  for (const [name, child] of Object.entries(properties ?? {})) {
    const below = path === '' ? name : `${path}.${name}`;
    fields.add(below);
    fieldsBelow(child, below, fields, opaque);
  }
  if (schema.type === undefined && words === undefined) opaque.add(path);
}

describe('MeshConfig', () => {
  const text = readFileSync(new URL('./published/mesh-config.txt', import.meta.url), 'utf8');
  const published = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const declared = new Set<string>();
  const opaque = new Set<string>();
  fieldsBelow(jsonSchema('MeshConfig'), '', declared, opaque);
  const isBelow = (field: string, whole: string) => field.startsWith(whole) && /^[.[=]/.test(field.slice(whole.length));

  test('has every published field and word', () => {
    const missing = published.filter(
      (field) => !declared.has(field) && ![...opaque].some((each) => isBelow(field, each)),
    );
    expect(missing).toEqual([]);
    expect(published.length).toBeGreaterThan(400);
  });

  test('has no other but those that are our own', () => {
    const others = [...declared].filter((field) => !published.includes(field));
    const audit = ['', '.als', '.als.port', '.als.service', '.otlp', '.otlp.port', '.otlp.service', '.path'];
    expect(others.sort()).toEqual(audit.map((field) => `extensionProviders[].lateenAudit${field}`));
  });
});
