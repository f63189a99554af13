// External authorization: what an authorizer changes of a head: its header fields and its query, in the order in which it says so.

import { HEAD_LINES_MAX_BYTES, isOwnHeader } from '@lateen/filters-wasm';
import type { RequestHead } from '@lateen/jwt';
import {
  HeaderValueOption_HeaderAppendAction as Action,
  type HeaderValueOption,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

/** `append`: to the value that is there, if one is (as Envoy takes the deprecated `append`); `add`: as a line of its own. */
export type ChangeKind = 'append' | 'add' | 'set' | 'if-absent' | 'if-present';

/** The name is in lower case; bytes of the value are characters of Latin-1. */
export interface HeaderChange {
  readonly kind: ChangeKind;
  readonly name: string;
  readonly value: string;
}

/** What happens to a request that may go on. */
export interface RequestChanges {
  readonly headers: readonly HeaderChange[];
  readonly removed: readonly string[];
  readonly parametersSet: readonly (readonly [string, string])[];
  readonly parametersRemoved: readonly string[];
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** What would end the header or the message. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are refused
const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/;
/** What can stand in a query as it is. */
const PARAMETER = /^[!$-%'-;=?-~]*$/;

const KINDS: Readonly<Record<Action, ChangeKind>> = {
  [Action.APPEND_IF_EXISTS_OR_ADD]: 'add',
  [Action.ADD_IF_ABSENT]: 'if-absent',
  [Action.OVERWRITE_IF_EXISTS]: 'if-present',
  [Action.OVERWRITE_IF_EXISTS_OR_ADD]: 'set',
};

/** Whether it can stand in a head. What it is about is another question (`isOwnHeader`). */
export function isValidHeader({ name, value }: Pick<HeaderChange, 'name' | 'value'>): boolean {
  return HEADER_NAME.test(name) && !BAD_VALUE.test(value);
}

export function isValidParameter(name: string, value: string): boolean {
  return name !== '' && !name.includes('=') && PARAMETER.test(name) && PARAMETER.test(value);
}

/** Framing, hop-by-hop headers and Host are nobody's to change, nor are those that begin with a colon. */
function isForeign({ name }: HeaderChange): boolean {
  return !name.startsWith(':') && !isOwnHeader(name);
}

function headerOf({ header }: HeaderValueOption): Omit<HeaderChange, 'kind'> {
  const text = header?.value ?? '';
  const bytes = text === '' ? Buffer.from(header?.rawValue ?? []) : Buffer.from(text, 'utf8');
  return { name: (header?.key ?? '').toLowerCase(), value: bytes.toString('latin1') };
}

/** Of a request: as in Envoy 1.40 only the deprecated `append` counts. */
export function readRequestChange(option: HeaderValueOption): HeaderChange {
  return { kind: option.append === true ? 'append' : 'set', ...headerOf(option) };
}

/** Of an answer: `append` counts where it is set; else the action, whose default is to add a line. */
export function readAnswerChange(option: HeaderValueOption): HeaderChange {
  const { append, appendAction } = option;
  const kind = append === undefined ? (KINDS[appendAction] ?? 'set') : append ? 'add' : 'set';
  return { kind, ...headerOf(option) };
}

/** Of a denial, which may have a header several times. */
export function readDenialHeader(option: HeaderValueOption): HeaderChange {
  return { kind: 'add', ...headerOf(option) };
}

/** What cannot stand in a head is left out. */
export function changeRequest(head: RequestHead, changes: RequestChanges): void {
  for (const change of changes.headers) {
    if (isForeign(change) && isValidHeader(change)) changeHeader(head, change);
  }
  for (const name of changes.removed) {
    const lower = name.toLowerCase();
    if (!lower.startsWith(':') && !isOwnHeader(lower)) head.remove(lower);
  }
  for (const [name, value] of changes.parametersSet) {
    if (isValidParameter(name, value)) head.setParameter(name, value);
  }
  for (const name of changes.parametersRemoved) head.removeParameter(name);
}

function changeHeader(head: RequestHead, { kind, name, value }: HeaderChange): void {
  const values = head.values(name);
  const there = values.length > 0;
  if (kind === 'if-absent' ? there : !there && (kind === 'if-present' || kind === 'append')) return;
  if (kind === 'append') {
    head.remove(name);
    head.add(name, [...values, value].join(','));
    return;
  }
  if (kind === 'set' || kind === 'if-present') head.remove(name);
  head.add(name, value);
}

/** What an answer's head says once the changes are made: lines that go, by name, and lines that come. */
export interface AnswerChange {
  readonly removed: readonly string[];
  readonly lines: string;
}

/** @param isThere whether the answer has a header of that name */
export function changeAnswer(changes: readonly HeaderChange[], isThere: (name: string) => boolean): AnswerChange {
  const removed = new Set<string>();
  let added: { readonly name: string; readonly line: string }[] = [];
  for (const change of changes) {
    const { kind, name, value } = change;
    if (!isForeign(change) || !isValidHeader(change)) continue;
    const there = (isThere(name) && !removed.has(name)) || added.some((one) => one.name === name);
    if ((kind === 'if-absent' && there) || (kind === 'if-present' && !there)) continue;
    if (kind === 'set' || kind === 'if-present') {
      if (isThere(name)) removed.add(name);
      added = added.filter((one) => one.name !== name);
    }
    added.push({ name, line: `${name}: ${value}\r\n` });
  }
  let lines = '';
  for (const { line } of added) if (lines.length + line.length <= HEAD_LINES_MAX_BYTES / 2) lines += line;
  return { removed: [...removed], lines };
}

/** Header lines of a denial. */
export function denialLines(headers: readonly HeaderChange[]): string {
  return changeAnswer(headers, () => false).lines;
}
