// Editor schemas: what Istio accepts passes the schema of its kind, and what is wrong in structure does not.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { expect, test } from 'vitest';
import {
  combinedSchema,
  ISTIO_KINDS,
  isKind,
  jsonSchema,
  KUBERNETES_KINDS,
  parseDocuments,
  parseMeshConfig,
} from '../src/index.js';
import { readYaml } from '../src/yaml/read.js';
import { readRuleCases } from './rule-case.js';

const ajv = new Ajv2020.default({ allErrors: true, strict: true, strictRequired: false, allowUnionTypes: true });
addFormats.default(ajv);

const validators = new Map<string, ValidateFunction>();

function validatorOf(kind: string): ValidateFunction {
  const known = validators.get(kind);
  if (known) return known;
  if (!isKind(kind) && kind !== 'MeshConfig') throw new Error(`${kind} has no schema`);
  const made = ajv.compile(jsonSchema(kind));
  validators.set(kind, made);
  return made;
}

/** The faults of every document of a text, as `path: what`. */
function faultsOf(kind: string | undefined, content: string): string[] {
  return readYaml(content).documents.flatMap(({ value }) => {
    const own = kind ?? (value as { readonly kind: string }).kind;
    const validate = validatorOf(own);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(({ instancePath, message }) => `${own} ${instancePath}: ${message}`);
  });
}

const cases = readRuleCases();

test.each([...ISTIO_KINDS, ...KUBERNETES_KINDS, 'MeshConfig'])('%s has a schema of draft 2020-12', (kind) => {
  expect(validatorOf(kind).schema).toHaveProperty('$schema', 'https://json-schema.org/draft/2020-12/schema');
});

const accepted = cases.filter(({ verdict }) => verdict !== 'bad');

test.each([...new Set(accepted.map(({ kind }) => kind))])('the schema of %s accepts what Istio accepts', (kind) => {
  const own = accepted.filter((one) => one.kind === kind);
  expect(own.flatMap(({ name, content }) => faultsOf(kind, content).map((fault) => `${name}: ${fault}`))).toEqual([]);
});

test('the schemas accept what Lateen accepts', () => {
  const root = fileURLToPath(new URL('cases', import.meta.url));
  const faults: string[] = [];
  for (const path of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('in.yaml')) continue;
    const content = readFileSync(`${root}/${path}`, 'utf8');
    const file = { name: path, content };
    const isMesh = path.startsWith('MeshConfig/');
    const { problems } = isMesh ? parseMeshConfig(file) : parseDocuments([file], { defaultNamespace: 'default' });
    if (problems.some(({ severity }) => severity === 'error')) continue;
    // What kubectl writes in lists and empties is left to the check of documents.
    if (path.startsWith('documents/')) continue;
    faults.push(...faultsOf(isMesh ? 'MeshConfig' : undefined, content).map((fault) => `${path}: ${fault}`));
  }
  expect(faults).toEqual([]);
});

/** Codes of problems that a schema can tell too. */
const STRUCTURE = ['unknown field', 'is required in', 'must be a', 'exclude each other in', 'needs one of `'];

test('refuses unknown fields, wrong types, missing fields and two of a one-of', () => {
  const structural = cases.filter(
    ({ verdict, expected }) =>
      verdict === 'bad' && expected.some(({ words }) => STRUCTURE.some((start) => words.startsWith(start))),
  );
  expect(structural.length).toBeGreaterThan(0);
  expect(structural.filter(({ kind, content }) => faultsOf(kind, content).length === 0)).toEqual([]);
});

const valid = {
  apiVersion: 'security.istio.io/v1',
  kind: 'PeerAuthentication',
  metadata: { name: 'a', namespace: 'b', labels: { c: 'd' } },
  spec: { mtls: { mode: 'STRICT' } },
};

test.each<[string, object]>([
  ['an unknown field', { ...valid, spec: { mode: 'STRICT' } }],
  ['an unknown word', { ...valid, spec: { mtls: { mode: 'strict' } } }],
  ['another kind', { ...valid, kind: 'Gateway' }],
  ['a version that is not served', { ...valid, apiVersion: 'security.istio.io/v1alpha1' }],
  ['a field beside spec', { ...valid, mtls: {} }],
  ['no name', { ...valid, metadata: {} }],
  ['a label that is none', { ...valid, metadata: { name: 'a', labels: { c: 'd e' } } }],
])('the schema refuses %s', (_, document) => {
  const validate = validatorOf('PeerAuthentication');
  expect(validate(valid)).toBe(true);
  expect(validate(document)).toBe(false);
});

test('the schema tells what is not acted on', () => {
  const text = JSON.stringify(jsonSchema('WasmPlugin').properties?.kind);
  expect(text).toContain('Refused by Lateen for now');
});

test('one schema for all kinds finds the one that each document is of', () => {
  const own = new Ajv2020.default({ strict: true, strictRequired: false, strictTypes: false });
  addFormats.default(own);
  for (const kind of ISTIO_KINDS) own.addSchema(jsonSchema(kind), `${kind}.json`);
  const validate = own.compile(combinedSchema(ISTIO_KINDS, (kind) => `${kind}.json`));
  expect(validate(valid)).toBe(true);
  expect(validate({ ...valid, spec: { mode: 'STRICT' } })).toBe(false);
  expect(validate({ apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway', spec: { listeners: [] } })).toBe(true);
});
