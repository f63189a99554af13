// Fuzzing: protobuf messages changed by field, through Any as well, so that what arrives still decodes.

import { create, type DescField, type DescMessage, type Message, ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { type Any, AnySchema, anyPack, anyUnpack } from '@bufbuild/protobuf/wkt';
import { xdsRegistry } from '@lateen/xds-proto';
import type { Random } from '../loop/random.js';
import { ODD_NUMBERS, ODD_TEXTS } from './odd-values.js';

const MAX_DEPTH = 24;

/** Changes one field somewhere below `message`, in place. */
export function mutateMessage(random: Random, schema: DescMessage, message: Message): void {
  mutateReflected(random, reflect(schema, message), 0);
}

function mutateReflected(random: Random, message: ReflectMessage, depth: number): void {
  if (message.desc.typeName === AnySchema.typeName) {
    mutateAny(random, message, depth);
    return;
  }
  const set = message.fields.filter((field) => message.isSet(field));
  const deeper = set.filter((field) => messageOf(field) !== undefined);
  if (deeper.length > 0 && depth < MAX_DEPTH && random.chance(0.85)) {
    const field = random.pick(deeper);
    const child = childOf(random, message, field);
    if (child !== undefined) {
      mutateReflected(random, child.message, depth + 1);
      child.put();
      return;
    }
  }
  const known = random.chance(0.6) && set.length > 0 ? set : message.fields;
  if (known.length > 0) changeField(random, message, random.pick(known));
}

function messageOf(field: DescField): DescMessage | undefined {
  if (field.fieldKind === 'message') return field.message;
  if (field.fieldKind === 'list' && field.listKind === 'message') return field.message;
  if (field.fieldKind === 'map' && field.mapKind === 'message') return field.message;
  return undefined;
}

/** One of the messages below a field, and how to put the changed one back. */
function childOf(
  random: Random,
  message: ReflectMessage,
  field: DescField,
): { message: ReflectMessage; put: () => void } | undefined {
  if (field.fieldKind === 'message') {
    const child = message.get(field);
    return { message: child, put: () => message.set(field, child) };
  }
  if (field.fieldKind === 'list') {
    const list = message.get(field);
    if (list.size === 0) return undefined;
    const index = random.below(list.size);
    const child = list.get(index) as ReflectMessage;
    return { message: child, put: () => list.set(index, child) };
  }
  if (field.fieldKind === 'map') {
    const map = message.get(field);
    const keys = [...map.keys()];
    if (keys.length === 0) return undefined;
    const key = random.pick(keys);
    const child = map.get(key) as ReflectMessage;
    return { message: child, put: () => map.set(key, child) };
  }
  return undefined;
}

function mutateAny(random: Random, any: ReflectMessage, depth: number): void {
  const value = any.message as Any;
  const type = xdsRegistry.getMessage(value.typeUrl.slice(value.typeUrl.lastIndexOf('/') + 1));
  if (type === undefined || random.chance(0.08)) {
    if (random.chance(0.5)) value.typeUrl = random.pick([...ODD_TEXTS, 'type.googleapis.com/google.protobuf.Struct']);
    else value.value = Uint8Array.from(value.value, (byte) => (random.chance(0.02) ? random.below(256) : byte));
    return;
  }
  let inner: Message | undefined;
  try {
    inner = anyUnpack(value, type);
  } catch {
    return; // bytes that an earlier edit broke
  }
  if (inner === undefined) return;
  mutateReflected(random, reflect(type, inner), depth + 1);
  try {
    value.value = anyPack(type, inner).value;
  } catch {
    // A number out of its type's range cannot be written; the old value stays.
  }
}

function changeField(random: Random, message: ReflectMessage, field: DescField): void {
  if (message.isSet(field) && random.chance(0.2)) {
    message.clear(field);
    return;
  }
  try {
    if (field.fieldKind === 'scalar') message.set(field, oddScalar(random, field.scalar));
    else if (field.fieldKind === 'enum') message.set(field, oddEnum(random, field.enum.values.length));
    else if (field.fieldKind === 'message') message.set(field, reflect(field.message, create(field.message)));
    else if (field.fieldKind === 'list') {
      const list = message.get(field);
      list.add(list.size > 0 && random.chance(0.5) ? list.get(random.below(list.size)) : oddElement(random, field));
    } else {
      const key = field.mapKey === ScalarType.STRING ? random.pick(ODD_TEXTS) : 1;
      message.get(field).set(key, oddElement(random, field));
    }
  } catch {
    // The library refuses a value that cannot stand in this field; then nothing has changed.
  }
}

function oddElement(random: Random, field: DescField & { fieldKind: 'list' | 'map' }): unknown {
  if (field.message !== undefined) return reflect(field.message, create(field.message));
  if (field.enum !== undefined) return oddEnum(random, field.enum.values.length);
  return oddScalar(random, field.scalar);
}

const oddEnum = (random: Random, count: number) => random.pick([0, 1, 2, count - 1, count, 255, -1, 2 ** 31 - 1]);

function oddScalar(random: Random, type: ScalarType): unknown {
  switch (type) {
    case ScalarType.STRING:
      return random.pick(ODD_TEXTS);
    case ScalarType.BYTES:
      return Buffer.from(random.pick(ODD_TEXTS));
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return random.pick(ODD_NUMBERS);
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return random.pick([0n, 1n, -1n, 2n ** 31n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), 2n ** 64n - 1n]);
    default:
      return random.pick(ODD_NUMBERS);
  }
}
