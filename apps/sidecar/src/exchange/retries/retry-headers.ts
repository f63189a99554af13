// Exchange: the conditions of a retry that ask for headers; rare, so they are read from text.

import {
  type Core,
  type HeaderCondition,
  POLICY_RETRY_HEADERS_LENGTH,
  POLICY_RETRY_HEADERS_OFFSET,
  type RetryHeaders,
} from '@lateen/filters-wasm';
import { headerValue } from '../access-log-entry.js';

/** Parsed conditions by their text; a configuration has few. */
const parsed = new Map<string, RetryHeaders>();
const MAX_PARSED = 256;

/** The header conditions of a policy; undefined where it has none. */
export function retryHeadersOf(core: Core, policy: number): RetryHeaders | undefined {
  const length = core.i32[(policy + POLICY_RETRY_HEADERS_LENGTH) >> 2]!;
  if (policy === 0 || length === 0) return undefined;
  const at = policy + core.i32[(policy + POLICY_RETRY_HEADERS_OFFSET) >> 2]!;
  const text = core.bytes.toString('utf8', at, at + length);
  let headers = parsed.get(text);
  if (headers === undefined) {
    if (parsed.size >= MAX_PARSED) parsed.clear();
    headers = JSON.parse(text) as RetryHeaders;
    parsed.set(text, headers);
  }
  return headers;
}

/** True where any condition holds for a head. */
export function matchesAny(conditions: readonly HeaderCondition[], head: string): boolean {
  return conditions.some((condition) => matches(condition, headerValue(head, condition.name)) !== condition.invert);
}

function matches({ kind, value, start, end, ignoreCase, missingIsEmpty }: HeaderCondition, text: string | undefined) {
  const given = text ?? (missingIsEmpty ? '' : undefined);
  if (given === undefined) return false;
  const fold = (each: string): string => (ignoreCase ? each.toLowerCase() : each);
  switch (kind) {
    case 'present':
      return true;
    case 'exact':
      return fold(given) === fold(value);
    case 'prefix':
      return fold(given).startsWith(fold(value));
    case 'suffix':
      return fold(given).endsWith(fold(value));
    case 'contains':
      return fold(given).includes(fold(value));
    case 'range':
      return /^-?\d+$/.test(given) && Number(given) >= start && Number(given) < end;
  }
}

/** When the response wants to be asked again, in milliseconds from now; undefined where it does not say, or too late. */
export function resetAfterMs({ resets, maxResetMs }: RetryHeaders, head: string, nowMs: number): number | undefined {
  for (const { name, unixTime } of resets) {
    const text = headerValue(head, name);
    if (text === undefined || !/^\d{1,12}$/.test(text)) continue;
    const delayMs = Number(text) * 1000 - (unixTime ? nowMs : 0);
    if (delayMs > 0 && delayMs <= maxResetMs) return delayMs;
  }
  return undefined;
}
