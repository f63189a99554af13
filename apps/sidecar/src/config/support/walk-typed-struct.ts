// Support table: checks a TypedStruct (a JSON object with a type URL) against the keys that Lateen knows.

import type { JsonObject, JsonValue, Message } from '@bufbuild/protobuf';
import type { FieldProblem, StructSupport, StructValue } from './support-types.js';

/**
 * @param message a udpa or xds TypedStruct
 * @param path the path of the Any that holds it
 */
export function walkTypedStruct(
  message: Message,
  supports: Readonly<Record<string, StructSupport>>,
  path: string,
): FieldProblem[] {
  // Both forms of TypedStruct have these fields; Struct is represented as plain JSON.
  const { typeUrl, value } = message as Message & { typeUrl: string; value?: JsonObject };
  const typeName = typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
  const support = supports[typeName];
  if (support === undefined) {
    return [{ path: `${path}.type_url`, message: `plugin configuration ${typeName || '(none)'} is not supported` }];
  }
  const problems: FieldProblem[] = [];
  checkObject(value ?? {}, support, `${path}.value`, problems);
  return problems;
}

function checkObject(value: JsonObject, support: StructSupport, path: string, problems: FieldProblem[]): void {
  for (const [key, item] of Object.entries(value)) {
    const name = snakeCase(key);
    const itemPath = `${path}.${key}`;
    if (support.inert !== undefined && name in support.inert) continue;
    const form = support.acted[name];
    if (form === undefined) problems.push({ path: itemPath, message: 'field is not supported' });
    else checkValue(item, form, itemPath, problems);
  }
}

function checkValue(value: JsonValue, form: StructValue, path: string, problems: FieldProblem[]): void {
  // Absent, as protobuf's JSON form has it.
  if (value === null || form === 'any') return;
  const wrong = (expected: string) => problems.push({ path, message: `expected ${expected}` });
  if (form === 'string') {
    if (typeof value !== 'string') wrong('a string');
  } else if (form === 'number') {
    if (typeof value !== 'number') wrong('a number');
  } else if (form === 'bool') {
    if (typeof value !== 'boolean') wrong('true or false');
  } else if (form === 'stringMap') {
    if (!isObject(value) || Object.values(value).some((item) => typeof item !== 'string'))
      wrong('an object of strings');
  } else if ('list' in form) {
    if (!Array.isArray(value)) wrong('a list');
    else
      value.forEach((item, index) => {
        checkValue(item, form.list, `${path}[${index}]`, problems);
      });
  } else if (!isObject(value)) {
    wrong('an object');
  } else {
    checkObject(value, form, path, problems);
  }
}

function isObject(value: JsonValue): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Protobuf JSON allows `tagsToRemove` for `tags_to_remove`. */
function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
