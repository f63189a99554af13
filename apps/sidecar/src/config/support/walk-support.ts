// Support table: the walker. Reports every set field of a decoded message that Lateen does not act on, with its path.

import {
  type DescEnum,
  type DescField,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message,
} from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { xdsRegistry } from '@lateen/xds-proto';
import { STRUCT_SUPPORT } from './plugin-support.js';
import type { FieldProblem, MessageSupport, SupportTable } from './support-types.js';
import { walkTypedStruct } from './walk-typed-struct.js';

const TYPED_STRUCTS: ReadonlySet<string> = new Set(['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct']);
const ANY = 'google.protobuf.Any';

/** Every unsupported field of a message; paths start at the message. */
export function findUnsupported(schema: DescMessage, message: Message, table: SupportTable): FieldProblem[] {
  const problems: FieldProblem[] = [];
  walkMessage({ table, problems }, schema, message, '');
  return problems;
}

interface Walk {
  readonly table: SupportTable;
  readonly problems: FieldProblem[];
}

/** What is to be done with one field of a message type; fields that are fine whatever they hold are not listed. */
interface Step {
  readonly field: DescField;
  readonly action:
    | { readonly kind: 'refuse'; readonly message: string }
    | { readonly kind: 'only'; readonly values: readonly string[] }
    | { readonly kind: 'enter'; readonly schema: DescMessage }
    | { readonly kind: 'any'; readonly types: readonly string[] };
}

/** Endpoint sets hold thousands of messages of a few types, so what to do is worked out once for each type. */
const plans = new WeakMap<SupportTable, Map<DescMessage, readonly Step[]>>();

function planOf(table: SupportTable, schema: DescMessage, support: MessageSupport): readonly Step[] {
  let byType = plans.get(table);
  if (byType === undefined) {
    byType = new Map();
    plans.set(table, byType);
  }
  let plan = byType.get(schema);
  if (plan === undefined) {
    plan = schema.fields.flatMap((field) => {
      const action = actionOf(field, support);
      return action === undefined ? [] : [{ field, action }];
    });
    byType.set(schema, plan);
  }
  return plan;
}

/** Why a field is refused, whatever it holds; undefined where its content counts, or nothing of it. */
export function refusalOf(fieldName: string, support: MessageSupport): string | undefined {
  if (support.acted.includes(fieldName) || fieldName in (support.only ?? {})) return undefined;
  if (fieldName in (support.inert ?? {})) return undefined;
  const reason = support.refused?.[fieldName];
  return `field is not supported${reason === undefined ? '' : `: ${reason}`}`;
}

function actionOf(field: DescField, support: MessageSupport): Step['action'] | undefined {
  const values = support.only?.[field.name];
  if (values !== undefined) return { kind: 'only', values };
  if (support.inert !== undefined && field.name in support.inert) return undefined;
  const refusal = refusalOf(field.name, support);
  if (refusal !== undefined) return { kind: 'refuse', message: refusal };
  const schema = field.message;
  if (schema === undefined) return undefined;
  if (schema.typeName === ANY) return { kind: 'any', types: support.anyOf?.[field.name] ?? [] };
  // Durations, wrappers, structs: read as values.
  return schema.typeName.startsWith('google.protobuf.') ? undefined : { kind: 'enter', schema };
}

function walkMessage(walk: Walk, schema: DescMessage, message: Message, path: string): void {
  const support = walk.table[schema.typeName];
  if (support === undefined) {
    walk.problems.push({ path, message: `${schema.typeName} is not supported` });
    return;
  }
  for (const { field, action } of planOf(walk.table, schema, support)) {
    if (!isFieldSet(message, field)) continue;
    const at = path === '' ? field.name : `${path}.${field.name}`;
    const value = fieldValue(message, field);
    switch (action.kind) {
      case 'refuse':
        walk.problems.push({ path: at, message: action.message });
        break;
      case 'only': {
        const text = valueText(field.enum, value);
        if (!action.values.includes(text)) {
          walk.problems.push({ path: at, message: `${text} is not supported; only ${action.values.join(', ')}` });
        }
        break;
      }
      case 'enter':
        forEachMessage(field, value, at, (item, itemPath) => walkMessage(walk, action.schema, item, itemPath));
        break;
      case 'any': {
        const owner = nameOf(message);
        forEachMessage(field, value, at, (item, itemPath) => walkAny(walk, item as Any, itemPath, action.types, owner));
        break;
      }
    }
  }
}

/** A set field's value, also where it is one of a group. */
function fieldValue(message: Message, field: DescField): unknown {
  const holder = message as unknown as Record<string, unknown>;
  if (field.oneof === undefined) return holder[field.localName];
  return (holder[field.oneof.localName] as { value: unknown }).value;
}

function forEachMessage(
  field: DescField,
  value: unknown,
  path: string,
  visit: (item: Message, path: string) => void,
): void {
  if (field.fieldKind === 'list') {
    (value as Message[]).forEach((item, index) => {
      visit(item, `${path}[${index}]`);
    });
  } else if (field.fieldKind === 'map') {
    for (const [key, item] of Object.entries(value as Record<string, Message>)) visit(item, `${path}["${key}"]`);
  } else {
    visit(value as Message, path);
  }
}

/** @param owner the name of the filter that holds it, for messages */
function walkAny(walk: Walk, any: Any, path: string, types: readonly string[], owner: string): void {
  const { problems } = walk;
  const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
  if (!types.includes(typeName)) {
    const type = `type ${typeName || '(none)'}`;
    const what = owner === '' ? type : `${JSON.stringify(owner)} (${type})`;
    problems.push({ path, message: `${what} is not supported here` });
    return;
  }
  const schema = xdsRegistry.getMessage(typeName);
  if (schema === undefined) {
    problems.push({ path, message: `type ${typeName} is not known` });
    return;
  }
  let content: Message;
  try {
    content = fromBinary(schema, any.value);
  } catch (error) {
    problems.push({ path, message: `${typeName} does not decode: ${(error as Error).message}` });
    return;
  }
  if (TYPED_STRUCTS.has(typeName)) problems.push(...walkTypedStruct(content, STRUCT_SUPPORT, path));
  else walkMessage(walk, schema, content, path);
}

function nameOf(message: Message): string {
  const { name } = message as Message & { name?: unknown };
  return typeof name === 'string' ? name : '';
}

/** Enum values by name, scalars and wrapped scalars by their text. */
function valueText(schema: DescEnum | undefined, value: unknown): string {
  if (schema !== undefined) return schema.value[value as number]?.name ?? String(value);
  // google.protobuf.BoolValue and its like are plain values; envoy.type.v3.Percent is a message.
  if (typeof value === 'object' && value !== null && 'value' in value) return String(value.value);
  return String(value);
}
