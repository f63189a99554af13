// Makes the descriptor of a generated file; what generated code calls in place of the library's own function.

import type { DescEnum, DescExtension, DescFile, DescMessage, DescService } from '@bufbuild/protobuf';
import { fileDesc as libraryFileDesc } from '@bufbuild/protobuf/codegenv2';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { type MessageDesc, messageWithLaterFields, type TypesByName } from './message-desc.js';

type DescType = DescMessage | DescEnum | DescExtension | DescService;
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/** What a file may use of one that it imports. */
const views = new WeakMap<DescFile, DescFile>();

/**
 * The library makes a registry for each file, of everything that it imports directly or not, walking the imports of
 * imports again and again, and decodes all fields of all messages: for 124 files of Envoy's that is half of a start. A
 * file can only use types of files that it imports itself and of what those import publicly; so this shows it no more
 * than that. And most messages are never used; so their fields are decoded when somebody looks at them.
 *
 * @param base64 the file without the fields of its messages, as tools/defer-fields.mjs writes it
 * @param fields those fields, for each message in the order of the file, each before the messages in it
 */
export function fileDesc(base64: string, imports: readonly DescFile[], fields: readonly string[]): DescFile {
  const file = libraryFileDesc(base64, imports.map(viewOf)) as Mutable<DescFile>;
  file.dependencies = [...imports];
  let types: TypesByName | undefined;
  const visible = (): TypesByName => {
    types ??= visibleTypes(file);
    return types;
  };
  let taken = 0;
  const made = new Map<DescMessage, MessageDesc>();
  const defer = (message: DescMessage, parent: MessageDesc | undefined): MessageDesc => {
    const own = messageWithLaterFields(message, parent, { base64: fields[taken++] ?? '', types: visible });
    made.set(message, own);
    own.nestedMessages = message.nestedMessages.map((nested) => defer(nested, own));
    return own;
  };
  file.messages = file.messages.map((message) => defer(message, undefined));
  for (const { methods } of file.services) {
    for (const method of methods as Mutable<(typeof methods)[number]>[]) {
      method.input = made.get(method.input) ?? method.input;
      method.output = made.get(method.output) ?? method.output;
    }
  }
  return file;
}

/** The file with its types as one flat list, and without imports that are not public. */
function viewOf(file: DescFile): DescFile {
  const known = views.get(file);
  if (known !== undefined) return known;
  const types: DescType[] = [...nestedTypes(file)];
  const view = {
    ...file,
    messages: [],
    services: [],
    extensions: [],
    // The library only goes through the four lists and adds what it finds by its own kind.
    enums: types as unknown as DescEnum[],
    dependencies: file.proto.publicDependency.map((index) => viewOf(file.dependencies[index] as DescFile)),
  };
  views.set(file, view);
  return view;
}

/** What fields of the file's messages may be of. */
function visibleTypes(file: DescFile): TypesByName {
  const types = new Map<string, DescMessage | DescEnum>();
  const add = (view: DescFile): void => {
    for (const type of view.enums as readonly (DescMessage | DescEnum)[]) types.set(type.typeName, type);
    for (const dependency of view.dependencies) add(dependency);
  };
  for (const dependency of file.dependencies) add(viewOf(dependency));
  for (const type of nestedTypes(file)) {
    if (type.kind === 'message' || type.kind === 'enum') types.set(type.typeName, type);
  }
  return types;
}
