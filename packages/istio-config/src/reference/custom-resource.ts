// Reference: the CustomResourceDefinition of a kind, with a structural OpenAPI schema, from the declaration that documents are checked with.
//
// What a structural schema may hold: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
import { describeKind } from '../kinds/registry.js';
import type { IstioKind } from '../object.js';
import { type JsonSchema, jsonSchema } from './json-schema.js';
import { type PrinterColumn, printerColumns } from './printer-columns.js';

/** A schema of OpenAPI v3 as `apiextensions.k8s.io/v1` takes it. */
export interface StructuralSchema {
  description?: string;
  type?: string;
  properties?: Record<string, StructuralSchema>;
  items?: StructuralSchema;
  additionalProperties?: StructuralSchema;
  required?: readonly string[];
  'x-kubernetes-preserve-unknown-fields'?: true;
  'x-kubernetes-int-or-string'?: true;
  'x-kubernetes-validations'?: readonly { readonly rule: string; readonly message: string }[];
  /** Limits of values: `enum`, `pattern`, `minimum`, `allOf`… */
  [keyword: string]: unknown;
}

/** A CustomResourceDefinition, ready to be written as YAML. */
export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: {
    readonly group: string;
    readonly scope: 'Namespaced';
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
      readonly shortNames?: readonly string[];
      readonly categories: readonly string[];
    };
    readonly versions: readonly {
      readonly name: string;
      readonly served: true;
      /** True for the newest version alone: all have the same fields, so nothing is converted. */
      readonly storage: boolean;
      readonly subresources: { readonly status: object };
      readonly additionalPrinterColumns: readonly PrinterColumn[];
      readonly schema: { readonly openAPIV3Schema: StructuralSchema };
    }[];
  };
}

/** What the API server has to know of a kind. Never stricter than `validate`: what that takes, the API server takes. */
export function customResourceDefinition(kind: IstioKind): CustomResourceDefinition {
  const { group, plural, shortNames, versions } = describeKind(kind);
  const { properties, description } = jsonSchema(kind);
  const spec = structural(properties?.spec ?? {}, 'once');
  const openAPIV3Schema: StructuralSchema = {
    ...(description !== undefined && { description }),
    type: 'object',
    properties: { spec, status: { type: 'object', ...PRESERVED } },
  };
  const area = group.endsWith('.istio.io') ? ['istio-io', group.replaceAll('.', '-')] : ['lateen-io'];
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, labels: { 'app.kubernetes.io/part-of': 'lateen' } },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        ...(shortNames.length > 0 && { shortNames }),
        categories: area,
      },
      versions: versions.map((name, index) => ({
        name,
        served: true,
        storage: index === 0,
        subresources: { status: {} },
        additionalPrinterColumns: printerColumns(kind),
        schema: { openAPIV3Schema },
      })),
    },
  };
}

const PRESERVED = { 'x-kubernetes-preserve-unknown-fields': true } as const;
const CARRIED = [
  'description',
  'type',
  'enum',
  'pattern',
  'required',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
];
const WIDEST = Number.MAX_SAFE_INTEGER;

/**
 * A part of a schema in the form that the API server takes.
 *
 * @param where `once`: at most once in an object, so that a rule of CEL costs little; `often`: in a list or map, of whose length
 *   nothing is known, so that the API server would refuse the rule for its cost
 */
function structural(schema: JsonSchema, where: 'once' | 'often'): StructuralSchema {
  const { properties, items, additionalProperties, anyOf } = schema;
  if (isUnionOfTypes(anyOf)) return { ...describedAs(schema), ...union(anyOf) };
  const made: StructuralSchema = Object.fromEntries(
    CARRIED.flatMap((key) => (key in schema ? [[key, schema[key]]] : [])),
  );
  if (schema.const !== undefined) made.enum = [schema.const];
  Object.assign(made, range(schema), groups(schema, where));
  if (Array.isArray(anyOf)) made.anyOf = anyOf;
  if (items !== undefined) made.items = structural(items, 'often');
  if (typeof additionalProperties === 'object' && Object.keys(additionalProperties).length > 0) {
    made.additionalProperties = structural(additionalProperties, 'often');
  }
  if (properties !== undefined) {
    made.properties = Object.fromEntries(
      Object.entries(properties).map(([name, child]) => [name, structural(child, where)]),
    );
  }
  const isOpen = made.type === 'object' && made.properties === undefined && made.additionalProperties === undefined;
  if (made.type === undefined || isOpen) return { ...made, ...PRESERVED };
  return made;
}

function describedAs({ description }: JsonSchema): StructuralSchema {
  return description === undefined ? {} : { description };
}

/** Numbers, in the keywords of OpenAPI 3.0. Bounds that only say what a number can be are left out. */
function range({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: JsonSchema): StructuralSchema {
  const isSaid = (bound: unknown): bound is number => typeof bound === 'number' && Math.abs(bound) < WIDEST;
  return {
    ...(isSaid(minimum) && { minimum }),
    ...(isSaid(maximum) && { maximum }),
    ...(isSaid(exclusiveMinimum) && { minimum: exclusiveMinimum, exclusiveMinimum: true }),
    ...(isSaid(exclusiveMaximum) && { maximum: exclusiveMaximum, exclusiveMaximum: true }),
  };
}

function isUnionOfTypes(anyOf: unknown): anyOf is readonly JsonSchema[] {
  return Array.isArray(anyOf) && anyOf.some((each: JsonSchema) => each.type !== undefined);
}

function union(options: readonly JsonSchema[]): StructuralSchema {
  const types = new Set(options.map(({ type }) => (type === 'integer' ? 'number' : type)));
  const isIntOrString = types.size === 2 && types.has('number') && types.has('string');
  return isIntOrString ? { 'x-kubernetes-int-or-string': true } : PRESERVED;
}

/** Which fields exclude each other, or of which one is needed: as rules with a text where that is affordable. */
function groups({ allOf }: JsonSchema, where: 'once' | 'often'): StructuralSchema {
  if (!Array.isArray(allOf)) return {};
  const parts = allOf as readonly JsonSchema[];
  if (where === 'often') return { allOf: parts };
  return { 'x-kubernetes-validations': parts.map(ruleOf) };
}

function ruleOf(part: JsonSchema): { readonly rule: string; readonly message: string } {
  const { not, oneOf } = part as { not?: JsonSchema; oneOf?: readonly JsonSchema[] };
  const excluded = not?.required;
  if (excluded !== undefined) {
    const rule = `!(${excluded.map(isSet).join(' && ')})`;
    return { rule, message: `only one of ${excluded.join(' and ')} may be set` };
  }
  const choices = (oneOf ?? []).map(({ required = [] }) => required[0] ?? '');
  const rule = `[${choices.map(isSet).join(', ')}].filter(field, field).size() == 1`;
  return { rule, message: `exactly one of ${choices.join(', ')} must be set` };
}

const isSet = (field: string): string => `has(self.${field})`;
