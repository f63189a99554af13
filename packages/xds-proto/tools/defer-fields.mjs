// Part of the build step: splits the descriptor in a generated module, so that fields are decoded when they are used.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { base64Decode, base64Encode } from '@bufbuild/protobuf/wire';
import { DescriptorProtoSchema, FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

const CALL = /\bfileDesc\("([^"]*)"(?:, \[([^\]]*)\])?\)/g;

/** Custom options are for other tools (validation rules, annotations): a fifth of the text, which nothing here reads. */
function dropCustomOptions(node) {
  if (node.options === undefined) return;
  node.options.$unknown = undefined;
}

function dropAllCustomOptions(file) {
  const ofEnum = (node) => [node, ...node.value].forEach(dropCustomOptions);
  const ofMessage = (node) => {
    [node, ...node.field, ...node.oneofDecl].forEach(dropCustomOptions);
    node.enumType.forEach(ofEnum);
    node.nestedType.forEach(ofMessage);
  };
  dropCustomOptions(file);
  file.enumType.forEach(ofEnum);
  file.messageType.forEach(ofMessage);
}

/** Takes the fields out of a message and those in it, each before the ones in it; `taken` gets one text for each. */
function takeFields(message, taken) {
  const isEntry = (nested) => nested.options?.mapEntry === true;
  const apart = create(DescriptorProtoSchema, { name: message.name });
  apart.field = message.field;
  apart.oneofDecl = message.oneofDecl;
  apart.nestedType = message.nestedType.filter(isEntry);
  taken.push(apart.field.length === 0 ? '' : base64Encode(toBinary(DescriptorProtoSchema, apart), 'std_raw'));
  message.field = [];
  message.oneofDecl = [];
  message.nestedType = message.nestedType.filter((nested) => !isEntry(nested));
  for (const nested of message.nestedType) takeFields(nested, taken);
}

/** The module's text with its descriptor in two parts, as src/file-desc.ts takes them. */
export function deferFields(text, path) {
  let calls = 0;
  const result = text.replace(CALL, (_, base64, imports = '') => {
    calls++;
    const file = fromBinary(FileDescriptorProtoSchema, base64Decode(base64));
    if (file.syntax === 'editions') throw new Error(`${path} uses an edition, whose features are not taken along`);
    dropAllCustomOptions(file);
    const taken = [];
    for (const message of file.messageType) takeFields(message, taken);
    const rest = base64Encode(toBinary(FileDescriptorProtoSchema, file), 'std_raw');
    const fields = taken.map((one) => `\n    "${one}"`).join(',');
    return `fileDesc("${rest}", [${imports}], [${fields}])`;
  });
  if (calls !== 1) throw new Error(`${path} calls fileDesc ${calls} times instead of once, the generator changed`);
  return result;
}
