// Declarations: a message (an object with known fields), and what about it spans several fields.
import { z } from 'zod';
import type { StringFormat } from './scalars.js';

/** What a message's fields have to do with each other; checked by `checkFieldGroups`. */
export interface MessageRules {
  /** Of each group at most one field may be set. */
  readonly atMostOneOf?: readonly (readonly string[])[];
  /** Of each group exactly one field must be set. */
  readonly exactlyOneOf?: readonly (readonly string[])[];
  /** Fields of a message of Kubernetes that are accepted and not looked at; then an unknown field is only a warning. */
  readonly alsoKnown?: readonly string[];
  /**
   * Fields of a message of Kubernetes that would change something in a cluster and change nothing here: what is so in
   * their place. Setting one is a warning, unless to nothing or to one of its `defaults`.
   */
  readonly withoutEffect?: Readonly<Record<string, string>>;
  /** Values of `withoutEffect` that say what is so anyway. */
  readonly defaults?: Readonly<Record<string, readonly unknown[]>>;
  /** Misspellings that distance alone does not find, and fields of other meshes: written name → what to write. */
  readonly instead?: Readonly<Record<string, string>>;
}

/** A message's name and rules, for error texts and for reference pages. */
export interface MessageDescription extends MessageRules {
  readonly name: string;
}

const descriptions = new WeakMap<z.core.$ZodType, MessageDescription>();

/** Declares a message: a strict object, whose unknown fields are errors. */
export function message<const Fields extends z.core.$ZodLooseShape>(
  name: string,
  fields: Fields,
  rules: MessageRules = {},
): z.ZodObject<Fields, z.core.$strict> {
  const schema = z.strictObject(fields);
  descriptions.set(schema, { name, ...rules });
  return schema;
}

/**
 * Declares a message of the Kubernetes API of which only some fields are used here. The others are accepted: in silence
 * (`alsoKnown`), or with a warning that says what is so in their place (`withoutEffect`). What is in none of them is a
 * warning too, since Kubernetes has more fields than this knows.
 */
export function openMessage<const Fields extends z.core.$ZodLooseShape>(
  name: string,
  fields: Fields,
  rules: MessageRules & { readonly alsoKnown: readonly string[] },
): z.ZodObject<Fields, z.core.$loose> {
  const schema = z.looseObject(fields);
  descriptions.set(schema, { name, ...rules });
  return schema;
}

/** Fields of `withoutEffect` that have one reason. */
export function because<const Field extends string>(reason: string, fields: readonly Field[]): Record<Field, string> {
  return Object.fromEntries(fields.map((field) => [field, reason])) as Record<Field, string>;
}

/** The name and rules of a message, or undefined where the schema is not one. */
export function messageDescription(schema: z.core.$ZodType): MessageDescription | undefined {
  return descriptions.get(schema);
}

/** An optional field that holds a message. */
export function nested<M extends z.ZodObject>(type: M, description: string): z.ZodOptional<M> {
  return type.optional().describe(description);
}

/** Makes a field of a message required; it keeps its description. */
export function required<T extends z.core.SomeType>(field: z.ZodOptional<T>): z.ZodNonOptional<z.ZodOptional<T>> {
  const schema = z.nonoptional(field);
  return field.description === undefined ? schema : schema.describe(field.description);
}

/** A field that is known by name but not looked into, because nothing acts on it: `acted-on.ts` refuses or reports it. */
export function opaque(description: string) {
  return z.unknown().optional().describe(description);
}

/** A mapping whose content is not the API's: the configuration of a plugin, a message of Envoy. */
export function freeForm(description: string) {
  return z.looseObject({}).optional().describe(description);
}

/** Limits on the number of items. */
export interface ListLimits {
  readonly min?: number;
  readonly max?: number;
}

/** An optional list. The item may be a field (its optionality is dropped) or a message. */
export function list<T extends z.ZodType>(item: z.ZodOptional<T> | T, description: string, limits: ListLimits = {}) {
  let schema = z.array(itemSchema(item));
  if (limits.min !== undefined) schema = schema.min(limits.min);
  if (limits.max !== undefined) schema = schema.max(limits.max);
  return schema.optional().describe(description);
}

const keyFormats = new WeakMap<z.core.$ZodType, StringFormat>();

/** An optional map from strings; `keys` says what the strings have to look like. */
export function map<T extends z.ZodType>(item: z.ZodOptional<T> | T, description: string, keys?: StringFormat) {
  const schema = z.record(z.string(), itemSchema(item));
  if (keys) keyFormats.set(schema, keys);
  return schema.optional().describe(description);
}

/** What the keys of a map have to look like, or undefined where anything goes. */
export function keyFormat(schema: z.core.$ZodType): StringFormat | undefined {
  return keyFormats.get(schema);
}

function itemSchema<T extends z.ZodType>(item: z.ZodOptional<T> | T): T {
  return item instanceof z.ZodOptional ? (item.unwrap() as T) : item;
}

/** The schema below `optional` and `required`. */
export function unwrapSchema(schema: z.core.$ZodType): z.core.$ZodType {
  const isWrapped = schema instanceof z.ZodOptional || schema instanceof z.ZodNonOptional;
  return isWrapped ? unwrapSchema(schema.unwrap()) : schema;
}

/** The schema of one field, item or map value below `schema`, or undefined where there is none. */
export function childSchema(schema: z.core.$ZodType, key: PropertyKey): z.core.$ZodType | undefined {
  const bare = unwrapSchema(schema);
  if (bare instanceof z.ZodObject) {
    const shape: Readonly<Record<string, z.core.$ZodType>> = bare.shape;
    return Object.hasOwn(shape, String(key)) ? shape[String(key)] : undefined;
  }
  if (bare instanceof z.ZodArray) return bare.element;
  if (bare instanceof z.ZodRecord) return bare.valueType;
  return undefined;
}
