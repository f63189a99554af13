// Tokens: what claims say, as text.

import { field, type JsonFields, type JsonValue } from './parse-token.js';

/** A claim by its name, a nested one with dots; undefined where there is none. */
export function claimAt(payload: JsonFields, name: string): JsonValue | undefined {
  let value: JsonValue | undefined = payload;
  for (const part of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = field(value as JsonFields, part);
  }
  return value;
}

/** A number as Envoy writes it. */
export function numberText(value: number): string {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 64 ? BigInt(value).toString() : value.toFixed(6);
}

/** A claim as the value of a header: lists and objects as JSON in base64. Characters are bytes of UTF-8. */
export function claimHeaderValue(value: JsonValue | undefined): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return Buffer.from(value, 'utf8').toString('latin1');
  if (typeof value === 'number') return numberText(value);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64');
}

/** The payload with claims that hold several values with spaces between as lists of them. */
export function withLists(payload: JsonFields, names: readonly string[]): JsonFields {
  const lists = names.flatMap((name) => {
    const value = field(payload, name);
    return typeof value === 'string' ? [[name, value.split(' ').filter((each) => each !== '')] as const] : [];
  });
  return lists.length === 0 ? payload : { ...payload, ...Object.fromEntries(lists) };
}
