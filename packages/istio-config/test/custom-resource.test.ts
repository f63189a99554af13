// Definitions for a Kubernetes API server: structural, small enough for `kubectl apply`, and no stricter than `validate`.
import Ajv, { type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import { customResourceDefinition, customResourceFiles, ISTIO_KINDS, isIstioKind } from '../src/index.js';
import type { StructuralSchema } from '../src/reference/custom-resource.js';
import { readYaml } from '../src/yaml/read.js';
import { readRuleCases } from './rule-case.js';

const ajv = new Ajv.default({ allErrors: true, strict: false });
addFormats.default(ajv);
ajv.addKeyword({
  keyword: 'x-kubernetes-int-or-string',
  validate: (_: unknown, value: unknown) => typeof value === 'string' || Number.isInteger(value),
});

const schemaOf = (kind: (typeof ISTIO_KINDS)[number]) =>
  customResourceDefinition(kind).spec.versions[0]!.schema.openAPIV3Schema;

/** Keywords that limit values; what stands below them may hold nothing else. */
const VALUE_KEYWORDS = new Set([
  ...['enum', 'pattern', 'required', 'format', 'allOf', 'anyOf', 'oneOf', 'not'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  ...['minLength', 'maxLength', 'minItems', 'maxItems'],
]);
const TYPES = new Set(['object', 'array', 'string', 'integer', 'number', 'boolean']);
const OTHERS = new Set([
  ...['description', 'type', 'properties', 'items', 'additionalProperties'],
  ...['x-kubernetes-preserve-unknown-fields', 'x-kubernetes-int-or-string', 'x-kubernetes-validations'],
]);

/** What keeps a schema from being structural, as the API server's documentation defines it. */
function faultsOf(schema: StructuralSchema, path: string): string[] {
  const isFree = schema['x-kubernetes-preserve-unknown-fields'] || schema['x-kubernetes-int-or-string'];
  const below = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => faultsOf(child, `${path}.${name}`));
  return [
    ...(TYPES.has(schema.type ?? '') || isFree ? [] : [`${path}: no type`]),
    ...(schema.type === 'array' && schema.items === undefined ? [`${path}: no items`] : []),
    ...(schema.properties && schema.additionalProperties ? [`${path}: properties and additionalProperties`] : []),
    ...Object.keys(schema).flatMap((key) =>
      VALUE_KEYWORDS.has(key) || OTHERS.has(key) ? [] : [`${path}: ${key} is no keyword of structural schemas`],
    ),
    ...['allOf', 'anyOf', 'oneOf'].flatMap((key) =>
      ((schema[key] ?? []) as object[]).flatMap((part) => faultsOfLimits(part, `${path} ${key}`)),
    ),
    ...below,
    ...(schema.items ? faultsOf(schema.items, `${path}[]`) : []),
    ...(schema.additionalProperties ? faultsOf(schema.additionalProperties, `${path}.*`) : []),
  ];
}

function faultsOfLimits(part: object, path: string): string[] {
  return Object.entries(part).flatMap(([key, value]) => {
    if (!VALUE_KEYWORDS.has(key)) return [`${path}: ${key}`];
    const parts = key === 'not' ? [value] : ['allOf', 'anyOf', 'oneOf'].includes(key) ? value : [];
    return parts.flatMap((each: object) => faultsOfLimits(each, `${path} ${key}`));
  });
}

test.each(ISTIO_KINDS)('%s has a structural schema', (kind) => {
  const { spec, metadata } = customResourceDefinition(kind);
  expect(metadata.name).toBe(`${spec.names.plural}.${spec.group}`);
  expect(spec.versions.filter(({ storage }) => storage)).toHaveLength(1);
  expect(faultsOf(schemaOf(kind), '')).toEqual([]);
  expect(schemaOf(kind).properties?.spec?.properties).not.toEqual({});
});

test('each file fits into the annotation in which `kubectl apply` keeps it', () => {
  const MOST_BYTES = 262_144;
  const sizes = ISTIO_KINDS.map((kind) => JSON.stringify(customResourceDefinition(kind)).length);
  expect(Math.max(...sizes)).toBeLessThan(MOST_BYTES);
  expect(customResourceFiles().map(({ name }) => name)).toContain('kustomization.yaml');
});

const accepted = readRuleCases().filter(({ verdict, kind }) => verdict !== 'bad' && isIstioKind(kind));

test.each([...new Set(accepted.map(({ kind }) => kind))])(
  'the API server takes every %s that Istio accepts',
  (kind) => {
    if (!isIstioKind(kind)) throw new Error(kind);
    const validate: ValidateFunction = ajv.compile(schemaOf(kind));
    const faults = accepted
      .filter((one) => one.kind === kind)
      .flatMap(({ name, content }) =>
        readYaml(content).documents.flatMap(({ value }) =>
          validate(value) ? [] : (validate.errors ?? []).map((each) => `${name}: ${each.instancePath} ${each.message}`),
        ),
      );
    expect(faults).toEqual([]);
  },
);
