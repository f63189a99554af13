// Header mutations (HeaderValueOption, headers to remove) as records that the core applies in order.
import {
  HeaderValueOption_HeaderAppendAction as AppendAction,
  type HeaderValueOption,
  HeaderValueOptionSchema,
} from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { MAX_MUTATIONS } from '../layout.js';
import * as T from '../table-layout.js';
import type { BlobWriter } from './blob-writer.js';
import type { ProblemList } from './problems.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** One change; names are in lower case. */
export interface Mutation {
  readonly kind: number;
  readonly name: string;
  readonly value: string;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Framing is the proxy's own, and hop-by-hop headers never cross. */
const PROTECTED = new Set([
  'connection',
  'content-length',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Whether nobody but the proxy may set a header: framing, hop-by-hop, and Host. `name` is in lower case. */
export function isOwnHeader(name: string): boolean {
  return PROTECTED.has(name) || name === 'host';
}

export type MutationSide = 'request' | 'response';

/** Removals first, then additions, as Envoy evaluates one level. `path` is the message that has the four fields. */
export function readMutations(
  problems: ProblemList,
  path: string,
  side: MutationSide,
  toAdd: readonly HeaderValueOption[],
  toRemove: readonly string[],
): Mutation[] {
  const mutations: Mutation[] = [];
  toRemove.forEach((header, index) => {
    const name = header.toLowerCase();
    const where = join(path, `${side}_headers_to_remove[${index}]`);
    if (checkName(problems, where, name)) mutations.push({ kind: T.MUTATION_REMOVE, name, value: '' });
  });
  toAdd.forEach((option, index) => {
    const mutation = readAddition(problems, join(path, `${side}_headers_to_add[${index}]`), side, option);
    if (mutation !== undefined) mutations.push(mutation);
  });
  return mutations;
}

function checkName(problems: ProblemList, path: string, name: string): boolean {
  if (!TOKEN.test(name)) problems.add(path, `"${name}" cannot be changed or is not a header name`);
  else if (isOwnHeader(name)) problems.add(path, `"${name}" cannot be changed by configuration`);
  else return true;
  return false;
}

function readAddition(
  problems: ProblemList,
  path: string,
  side: MutationSide,
  option: HeaderValueOption,
): Mutation | undefined {
  refuseOtherFields(problems, path, HeaderValueOptionSchema, option, 'header append append_action keep_empty_value');
  const name = (option.header?.key ?? '').toLowerCase();
  const value = readValue(problems, join(path, 'header'), option);
  const kind = additionKind(option);
  if (side === 'request' && (name === ':authority' || name === 'host')) {
    if (kind !== T.MUTATION_OVERWRITE)
      problems.add(path, `"${name}" can only be overwritten (OVERWRITE_IF_EXISTS_OR_ADD)`);
    return { kind: T.MUTATION_SET_AUTHORITY, name: 'host', value };
  }
  if (!checkName(problems, join(path, 'header.key'), name)) return undefined;
  return value === '' && !option.keepEmptyValue ? undefined : { kind, name, value };
}

function additionKind(option: HeaderValueOption): number {
  if (option.append !== undefined) return option.append ? T.MUTATION_APPEND : T.MUTATION_OVERWRITE;
  switch (option.appendAction) {
    case AppendAction.ADD_IF_ABSENT:
      return T.MUTATION_ADD_IF_ABSENT;
    case AppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
      return T.MUTATION_OVERWRITE;
    case AppendAction.OVERWRITE_IF_EXISTS:
      return T.MUTATION_OVERWRITE_IF_EXISTS;
    default:
      return T.MUTATION_APPEND;
  }
}

/** The constant value; `%%` is a percent sign, a command operator is refused by its name. */
function readValue(problems: ProblemList, path: string, option: HeaderValueOption): string {
  const raw = option.header?.rawValue ?? new Uint8Array();
  const value = raw.length > 0 ? Buffer.from(raw).toString('utf8') : (option.header?.value ?? '');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a header value
  if (/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) problems.add(join(path, 'value'), 'has a control character');
  return value.replace(/%(%|[A-Z0-9_]+(?:\([^)]*\))?(?::\d+)?%)?/g, (match, operator: string | undefined) => {
    if (operator === '%') return '%';
    problems.add(
      join(path, 'value'),
      operator === undefined ? 'has a single "%"; write "%%"' : `command operator ${match} is not supported`,
    );
    return '';
  });
}

/** The core has room for so many changes to one head. */
export function checkMutationCount(problems: ProblemList, path: string, side: MutationSide, count: number): void {
  if (count <= MAX_MUTATIONS) return;
  problems.add(
    path,
    `${count} ${side} header mutations apply here with those of the enclosing levels; at most ${MAX_MUTATIONS} are supported`,
  );
}

/** Writes records at the end of the blob; relative offset of the first. */
export function writeMutations(
  blob: BlobWriter,
  mutations: readonly Mutation[],
  hashName: (name: string) => number,
): number {
  if (mutations.length === 0) return 0;
  const start = blob.reserve(mutations.length * T.MUTATION_BYTES);
  mutations.forEach((mutation, index) => {
    const at = start + index * T.MUTATION_BYTES;
    blob.int(at + T.MUTATION_KIND, mutation.kind);
    blob.text(at + T.MUTATION_NAME_OFFSET, mutation.name);
    blob.int(at + T.MUTATION_NAME_HASH, hashName(mutation.name));
    blob.text(at + T.MUTATION_VALUE_OFFSET, mutation.value);
  });
  return start;
}
