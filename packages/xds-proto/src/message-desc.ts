// The descriptor of a message whose fields are decoded when they are first looked at; file-desc.ts makes one for each.

import {
  create,
  createFileRegistry,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  fromBinary,
} from '@bufbuild/protobuf';
import { protoCamelCase } from '@bufbuild/protobuf/reflect';
import { base64Decode } from '@bufbuild/protobuf/wire';
import { type DescriptorProto, DescriptorProtoSchema, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/** Messages and enums that fields may be of, by full name. */
export type TypesByName = ReadonlyMap<string, DescMessage | DescEnum>;

interface LaterFields {
  /** A DescriptorProto with fields, oneofs and entries of map fields; empty where the message has no fields. */
  readonly base64: string;
  /** Asked when the fields are decoded: by then all files that this one imports are there. */
  readonly types: () => TypesByName;
}

type Fields = Pick<DescMessage, 'fields' | 'field' | 'oneofs' | 'members'>;
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

const NO_FIELDS: Fields = { fields: [], field: {}, oneofs: [], members: [] };
/** Name of the import by which the library finds the types of fields. */
const VISIBLE = 'visible';

/** A class, and not accessors on the library's own object, so that all descriptors keep one shape that is quick to read. */
export class MessageDesc implements DescMessage {
  readonly kind = 'message';
  readonly proto: DescriptorProto;
  readonly deprecated: boolean;
  readonly file: DescFile;
  readonly name: string;
  readonly typeName: string;
  readonly nestedEnums: DescEnum[];
  readonly nestedExtensions: DescExtension[];
  nestedMessages: DescMessage[] = [];
  #known: Fields | undefined;
  readonly #later: LaterFields;

  constructor(
    from: DescMessage,
    readonly parent: DescMessage | undefined,
    later: LaterFields,
  ) {
    this.proto = from.proto;
    this.deprecated = from.deprecated;
    this.file = from.file;
    this.name = from.name;
    this.typeName = from.typeName;
    this.nestedEnums = from.nestedEnums;
    this.nestedExtensions = from.nestedExtensions;
    this.#later = later;
    if (later.base64 === '') this.#known = NO_FIELDS;
  }

  get fields(): DescMessage['fields'] {
    return this.#decoded().fields;
  }
  get field(): DescMessage['field'] {
    return this.#decoded().field;
  }
  get oneofs(): DescMessage['oneofs'] {
    return this.#decoded().oneofs;
  }
  get members(): DescMessage['members'] {
    return this.#decoded().members;
  }

  toString(): string {
    return `message ${this.typeName}`;
  }

  #decoded(): Fields {
    this.#known ??= decodeFields(this, this.#later);
    return this.#known;
  }
}

/** The descriptor in place of the library's, which is without fields; what lies in it is given to the new one. */
export function messageWithLaterFields(
  from: DescMessage,
  parent: DescMessage | undefined,
  later: LaterFields,
): MessageDesc {
  const message = new MessageDesc(from, parent, later);
  for (const nested of from.nestedEnums) (nested as Mutable<DescEnum>).parent = message;
  for (const extension of from.nestedExtensions) (extension as Mutable<DescExtension>).parent = message;
  return message;
}

/** Lets the library make the fields, in a file that has nothing but this message, and takes them out of it. */
function decodeFields(message: MessageDesc, later: LaterFields): Fields {
  const proto = fromBinary(DescriptorProtoSchema, base64Decode(later.base64));
  setJsonNames(proto);
  message.proto.field.push(...proto.field);
  message.proto.oneofDecl.push(...proto.oneofDecl);
  message.proto.nestedType.push(...proto.nestedType);
  const { typeName, name } = message;
  const alone = create(FileDescriptorProtoSchema, {
    name: typeName,
    package: typeName.slice(0, -name.length - 1),
    syntax: message.file.proto.syntax,
    dependency: [VISIBLE],
  });
  alone.messageType.push(proto);
  const types = usedTypes(proto, later.types());
  const made = createFileRegistry(alone, (dependency) => (dependency === VISIBLE ? fileOf(types) : undefined));
  const copy = made.getMessage(typeName);
  if (copy === undefined) throw new Error(`${typeName}: the library made no descriptor of it`);
  for (const field of copy.fields as Mutable<(typeof copy.fields)[number]>[]) {
    field.parent = message;
    if (field.message === copy) field.message = message;
  }
  for (const oneof of copy.oneofs as Mutable<(typeof copy.oneofs)[number]>[]) oneof.parent = message;
  return { fields: copy.fields, field: copy.field, oneofs: copy.oneofs, members: copy.members };
}

function usedTypes(proto: DescriptorProto, types: TypesByName): (DescMessage | DescEnum)[] {
  return [proto, ...proto.nestedType].flatMap(({ field }) =>
    field.flatMap(({ typeName }) => (typeName === '' ? [] : (types.get(typeName.slice(1)) ?? []))),
  );
}

/** As much of a file as the library looks at when it resolves an import: a list of types. */
function fileOf(types: readonly (DescMessage | DescEnum)[]): DescFile {
  const proto = create(FileDescriptorProtoSchema, { name: VISIBLE });
  const lists = { messages: [], services: [], extensions: [], dependencies: [] };
  return { kind: 'file', proto, name: VISIBLE, enums: types, ...lists } as unknown as DescFile;
}

/** Descriptors in generated code leave out JSON names that follow from the name. */
function setJsonNames(proto: DescriptorProto): void {
  for (const field of proto.field) if (field.jsonName === '') field.jsonName = protoCamelCase(field.name);
  proto.nestedType.forEach(setJsonNames);
}
