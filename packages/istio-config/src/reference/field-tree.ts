// Reference: the messages of a kind with their fields, each message once, and at which paths of the spec it stands.
import { z } from 'zod';
import { messageDescription, unwrapSchema } from '../declare/message.js';
import { isDuration, stringFormat } from '../declare/scalars.js';
import { isIpFormat } from './string-patterns.js';

/** A field of a message. */
export interface FieldEntry {
  readonly name: string;
  readonly isRequired: boolean;
  /** For readers: `duration`, `list of Server`, `map of string`. */
  readonly type: string;
  /** The message that it holds, also in a list or map. */
  readonly message: MessageEntry | undefined;
  readonly description: string;
  /** Words of an enumeration. */
  readonly words: readonly string[];
  /** Steps from the message to its items: none, `[]`, `*`. */
  readonly below: readonly string[];
}

/** A message, with every path at which it stands in the spec. */
export interface MessageEntry {
  readonly name: string;
  readonly fields: FieldEntry[];
  readonly paths: (readonly string[])[];
  readonly atMostOneOf: readonly (readonly string[])[];
  readonly exactlyOneOf: readonly (readonly string[])[];
  /** Fields of Kubernetes that are accepted and not looked at. */
  readonly alsoKnown: readonly string[];
  /** Fields of Kubernetes that are accepted with a warning: what is so in their place, and values without a warning. */
  readonly withoutEffect: Readonly<Record<string, string>>;
  readonly defaults: Readonly<Record<string, readonly unknown[]>>;
}

/** The messages below a spec, the spec first, then each in the order in which it is met. */
export function messagesOf(spec: z.ZodObject, name: string): MessageEntry[] {
  const known = new Map<z.core.$ZodType, MessageEntry>();
  const order: MessageEntry[] = [];
  const visit = (schema: z.ZodObject, fallback: string, path: readonly string[]): MessageEntry => {
    let entry = known.get(schema);
    const isNew = !entry;
    if (!entry) {
      const rules = messageDescription(schema);
      const { atMostOneOf = [], exactlyOneOf = [], alsoKnown = [], withoutEffect = {}, defaults = {} } = rules ?? {};
      const groups = { atMostOneOf, exactlyOneOf, alsoKnown, withoutEffect, defaults };
      entry = { name: rules?.name ?? fallback, fields: [], paths: [], ...groups };
      known.set(schema, entry);
      order.push(entry);
    }
    entry.paths.push(path);
    for (const [field, child] of Object.entries(schema.shape as Record<string, z.core.$ZodType>)) {
      const { schema: bare, below, type } = readType(child);
      const isMessage = bare instanceof z.ZodObject && messageDescription(bare) !== undefined;
      const message = isMessage ? visit(bare, field, [...path, field, ...below]) : undefined;
      if (!isNew) continue;
      const description = (child as z.ZodType).description ?? '';
      const words = bare instanceof z.ZodEnum ? bare.options.map(String) : [];
      const isRequired = !(child instanceof z.ZodOptional);
      entry.fields.push({ name: field, isRequired, type, message, description, words, below });
    }
    return entry;
  };
  visit(spec, name, []);
  return order;
}

/** The type in words, and what a list or map is of. */
function readType(schema: z.core.$ZodType): { schema: z.core.$ZodType; below: string[]; type: string } {
  const bare = unwrapSchema(schema);
  const inner = bare instanceof z.ZodArray ? bare.element : bare instanceof z.ZodRecord ? bare.valueType : undefined;
  if (!inner) return { schema: bare, below: [], type: scalarWords(bare) };
  const item = readType(inner);
  const isList = bare instanceof z.ZodArray;
  return { ...item, below: [isList ? '[]' : '*', ...item.below], type: `${isList ? 'list' : 'map'} of ${item.type}` };
}

function scalarWords(schema: z.core.$ZodType): string {
  if (schema instanceof z.ZodObject) return messageDescription(schema)?.name ?? 'any mapping';
  if (schema instanceof z.ZodEnum) return 'enumeration';
  if (schema instanceof z.ZodBoolean) return 'boolean';
  if (schema instanceof z.ZodUnion) return schema.options.map(scalarWords).join(' or ');
  if (schema instanceof z.ZodNumber) return numberWords(schema);
  if (!(schema instanceof z.ZodString)) return 'any value';
  if (isDuration(schema)) return 'duration';
  const format = stringFormat(schema);
  return format && isIpFormat(format) ? 'IP address or subnet' : 'string';
}

function numberWords(schema: z.ZodNumber): string {
  const { minValue, maxValue } = schema;
  const type = schema.isInt ? 'integer' : 'number';
  const hasMax = maxValue !== null && maxValue < 2 ** 31 - 1;
  if (hasMax) return `${type} from ${minValue ?? '-∞'} to ${maxValue}`;
  return type === 'integer' && (minValue ?? 0) <= -(2 ** 31) ? 'integer, may be negative' : type;
}
