// Reference: the JSON Schema (draft 2020-12) of a kind, for editors, from the declaration that documents are checked with.
import { z } from 'zod';
import { keyFormat, messageDescription } from '../declare/message.js';
import { isDuration, stringFormat } from '../declare/scalars.js';
import { metadataSchema } from '../envelope.js';
import { meshConfig } from '../kinds/mesh-config.js';
import { describeKind, isKind, specSchema } from '../kinds/registry.js';
import type { Kind } from '../object.js';
import { type FieldStatus, fieldStatus, isWhole } from './field-status.js';
import { DURATION, patternOf } from './string-patterns.js';

/** A JSON Schema, or a part of one. */
export interface JsonSchema {
  [keyword: string]: unknown;
  properties?: Record<string, JsonSchema>;
  items?: JsonSchema;
  additionalProperties?: JsonSchema | boolean;
  required?: string[];
  description?: string;
}

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** The schema of whole documents of a kind, or of a mesh file. */
export function jsonSchema(kind: Kind | 'MeshConfig'): JsonSchema {
  if (!isKind(kind)) {
    const title = `${kind}: settings of the mesh (mesh.yaml)`;
    return { $schema: DIALECT, title, ...withStatus(kind, messageSchema(meshConfig)) };
  }
  const { group, versions } = describeKind(kind);
  const spec = withStatus(kind, messageSchema(specSchema(kind)));
  const whole = fieldStatus(kind, []);
  const needsSpec = (spec.required ?? []).length > 0;
  return {
    $schema: DIALECT,
    title: group === '' ? kind : `${kind} (${group})`,
    type: 'object',
    properties: {
      apiVersion: {
        description: 'API group and version; all versions of a kind have the same fields.',
        enum: versions.map((version) => (group === '' ? version : `${group}/${version}`)),
      },
      kind: { description: `The kind.${whole && isWhole(whole) ? statusNote(whole) : ''}`, const: kind },
      metadata: { description: 'Name, namespace and labels.', ...messageSchema(metadataSchema) },
      // The fields of a Secret stand beside its metadata.
      ...(kind === 'Secret' ? spec.properties : { spec: { description: `What the ${kind} says.`, ...spec } }),
      status: { description: 'Set by controllers; not looked at.', type: 'object' },
      ...(kind === 'ServiceAccount' && { secrets: {}, imagePullSecrets: {}, automountServiceAccountToken: {} }),
    },
    required: ['apiVersion', 'kind', 'metadata', ...(needsSpec ? ['spec'] : [])],
    additionalProperties: false,
  };
}

/** A schema for files with documents of several kinds; each kind's own is looked up at `addressOf`. Other kinds pass. */
export function combinedSchema(kinds: readonly Kind[], addressOf: (kind: Kind) => string): JsonSchema {
  return {
    $schema: DIALECT,
    title: 'Documents of a mesh',
    type: 'object',
    allOf: kinds.map((kind) => ({
      if: {
        properties: { apiVersion: { pattern: groupPattern(kind) }, kind: { const: kind } },
        required: ['apiVersion', 'kind'],
      },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { $ref: addressOf(kind) },
    })),
  };
}

function groupPattern(kind: Kind): string {
  const { group } = describeKind(kind);
  return group === '' ? '^[^/]*$' : `^${group.replaceAll('.', '[.]')}/`;
}

function messageSchema(schema: z.ZodObject): JsonSchema {
  const made = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: target }) => {
      Object.assign(target, keywordsOf(zodSchema, target as JsonSchema));
    },
  });
  // Copied, because the library uses one object wherever a message is used again, and each place gets a status of its own.
  const { $schema: _, ...copy } = JSON.parse(JSON.stringify(made)) as JsonSchema;
  return copy;
}

/** What the library cannot know: formats, one-ofs, the keys of maps, other fields of Kubernetes. */
function keywordsOf(schema: z.core.$ZodType, target: JsonSchema): JsonSchema {
  if (isDuration(schema)) return { ...DURATION };
  const format = stringFormat(schema);
  if (format) return { ...patternOf(format) };
  const keys = keyFormat(schema);
  if (keys) return { propertyNames: { ...patternOf(keys) } };
  const description = messageDescription(schema);
  if (!description) return {};
  const { atMostOneOf = [], exactlyOneOf = [], alsoKnown = [], withoutEffect = {} } = description;
  const exclusions = atMostOneOf.flatMap(pairs).map((pair) => ({ not: { required: pair } }));
  const choices = exactlyOneOf.map((group) => ({ oneOf: group.map((field) => ({ required: [field] })) }));
  const warned = Object.entries(withoutEffect).map(([field, reason]): [string, JsonSchema] => [
    field,
    { description: `Accepted without effect in local mode (${reason}).` },
  ]);
  const others = Object.fromEntries([...alsoKnown.map((field): [string, JsonSchema] => [field, {}]), ...warned]);
  return {
    ...(exclusions.length + choices.length > 0 && { allOf: [...exclusions, ...choices] }),
    ...(Object.keys(others).length > 0 && { properties: { ...target.properties, ...others } }),
  };
}

function pairs(group: readonly string[]): [string, string][] {
  return group.flatMap((first, index) => group.slice(index + 1).map((second): [string, string] => [first, second]));
}

/** Says in each description where a field is not acted on, so that an editor shows it; once where it is the whole kind. */
function withStatus(kind: string, schema: JsonSchema, steps: readonly string[] = []): JsonSchema {
  const whole = fieldStatus(kind, []);
  const status = fieldStatus(kind, steps);
  if (schema.description !== undefined && status && whole && !isWhole(whole)) schema.description += statusNote(status);
  for (const [name, child] of Object.entries(schema.properties ?? {})) withStatus(kind, child, [...steps, name]);
  if (schema.items) withStatus(kind, schema.items, [...steps, '[]']);
  if (typeof schema.additionalProperties === 'object') withStatus(kind, schema.additionalProperties, [...steps, '*']);
  return schema;
}

function statusNote({ verdict, reason }: FieldStatus): string {
  if (verdict === 'refused') return ` Refused by Lateen for now (${reason}).`;
  return verdict === 'warned' ? ` Accepted without effect for now (${reason}).` : '';
}
