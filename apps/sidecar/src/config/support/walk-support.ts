// Support table: the walker. Reports every set field of a decoded message that Lateen does not act on, with its path.

import type { DescField, DescMessage, Message } from '@bufbuild/protobuf';
import { fromBinary } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import type { Any } from '@bufbuild/protobuf/wkt';
import { xdsRegistry } from '@lateen/xds-proto';
import { STRUCT_SUPPORT } from './plugin-support.js';
import type { FieldProblem, MessageSupport, SupportTable } from './support-types.js';
import { walkTypedStruct } from './walk-typed-struct.js';

const TYPED_STRUCTS: ReadonlySet<string> = new Set(['udpa.type.v1.TypedStruct', 'xds.type.v3.TypedStruct']);

/** Every unsupported field of a message; paths start at the message. */
export function findUnsupported(schema: DescMessage, message: Message, table: SupportTable): FieldProblem[] {
  const walk = new Walk(table);
  walk.message(reflect(schema, message), '');
  return walk.problems;
}

/** What may stand in an Any, and the name that its owner (a filter) has, for messages. */
interface AnyTypes {
  readonly allowed: readonly string[];
  readonly owner: string;
}

const NO_TYPES: AnyTypes = { allowed: [], owner: '' };

class Walk {
  readonly problems: FieldProblem[] = [];

  constructor(private readonly table: SupportTable) {}

  message(message: ReflectMessage, path: string): void {
    const support = this.table[message.desc.typeName];
    if (support === undefined) {
      this.problems.push({ path, message: `${message.desc.typeName} is not supported` });
      return;
    }
    for (const field of message.fields) {
      if (message.isSet(field)) this.#field(message, field, join(path, field.name), support);
    }
  }

  #field(message: ReflectMessage, field: DescField, path: string, support: MessageSupport): void {
    const allowed = support.only?.[field.name];
    if (allowed !== undefined) {
      const value = valueText(message, field);
      if (!allowed.includes(value)) {
        this.problems.push({ path, message: `${value} is not supported; only ${allowed.join(', ')}` });
      }
      return;
    }
    if (support.inert !== undefined && field.name in support.inert) return;
    if (!support.acted.includes(field.name)) {
      const reason = support.refused?.[field.name];
      this.problems.push({ path, message: `field is not supported${reason === undefined ? '' : `: ${reason}`}` });
      return;
    }
    const allowedTypes = support.anyOf?.[field.name];
    const types = allowedTypes === undefined ? undefined : { allowed: allowedTypes, owner: nameOf(message) };
    switch (field.fieldKind) {
      case 'message':
        this.#value(message.get(field), path, types);
        return;
      case 'list':
        if (field.listKind === 'message') {
          [...message.get(field)].forEach((item, index) => {
            this.#value(item, `${path}[${index}]`, types);
          });
        }
        return;
      case 'map':
        if (field.mapKind === 'message') {
          for (const [key, item] of message.get(field)) this.#value(item, `${path}["${key}"]`, types);
        }
        return;
      default:
        return;
    }
  }

  #value(value: unknown, path: string, types: AnyTypes | undefined): void {
    // google.protobuf.Struct and its like are read as JSON and not looked into here.
    if (!isReflectMessage(value)) return;
    if (value.desc.typeName === 'google.protobuf.Any') {
      this.#any(value.message as Any, path, types ?? NO_TYPES);
      return;
    }
    if (value.desc.typeName.startsWith('google.protobuf.')) return;
    this.message(value, path);
  }

  #any(any: Any, path: string, types: AnyTypes): void {
    const typeName = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1);
    if (!types.allowed.includes(typeName)) {
      const type = `type ${typeName || '(none)'}`;
      const what = types.owner === '' ? type : `${JSON.stringify(types.owner)} (${type})`;
      this.problems.push({ path, message: `${what} is not supported here` });
      return;
    }
    const schema = xdsRegistry.getMessage(typeName);
    if (schema === undefined) {
      this.problems.push({ path, message: `type ${typeName} is not known` });
      return;
    }
    let content: Message;
    try {
      content = fromBinary(schema, any.value);
    } catch (error) {
      this.problems.push({ path, message: `${typeName} does not decode: ${(error as Error).message}` });
      return;
    }
    if (TYPED_STRUCTS.has(typeName)) this.problems.push(...walkTypedStruct(content, STRUCT_SUPPORT, path));
    else this.message(reflect(schema, content), path);
  }
}

function nameOf(message: ReflectMessage): string {
  const field = message.desc.field.name;
  return field?.fieldKind === 'scalar' ? String(message.get(field)) : '';
}

function isReflectMessage(value: unknown): value is ReflectMessage {
  return typeof value === 'object' && value !== null && 'desc' in value && 'message' in value;
}

/** Enum values by name, scalars and wrapped scalars by their text. */
function valueText(message: ReflectMessage, field: DescField): string {
  const value: unknown = message.get(field);
  if (field.fieldKind === 'enum') {
    return field.enum.value[value as number]?.name ?? String(value);
  }
  if (isReflectMessage(value) && 'value' in value.message) return String(value.message.value);
  return String(value);
}

function join(path: string, name: string): string {
  return path === '' ? name : `${path}.${name}`;
}
