// Reference: strict HTTP/1.1 head parsing with strings and regular expressions, for property tests.
import { normalizePath, type PathRules } from './reference-path.js';

export interface ReferenceHeader {
  readonly name: string;
  readonly value: string;
}

/** `statuses` are all answers that one of the head's faults deserves; a parser may give any of them. */
export type ReferenceHead =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'refused'; readonly statuses: ReadonlySet<number> }
  | ({ readonly kind: 'request' } & ReferenceRequest);

export interface ReferenceRequest {
  readonly length: number;
  readonly method: string;
  readonly path: string;
  readonly pathOnly: string;
  readonly authority: string;
  readonly minor: number;
  /** Without hop-by-hop headers and those that Connection names. */
  readonly headers: readonly ReferenceHeader[];
  readonly body: 'none' | 'chunked' | 'length';
  readonly contentLength: number;
  readonly keepAlive: boolean;
  readonly expectContinue: boolean;
}

export const HOP_BY_HOP = new Set([
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'proxy-authenticate',
  'proxy-authorization',
  'http2-settings',
]);

const MAX_HEAD_BYTES = 61_440;
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const AUTHORITY = /^[A-Za-z0-9\-._~%!$&'()*+,;=:[\]]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** Parses the head at the start of Latin-1 text. Listener options other than the path's are not modelled. */
export function parseReferenceRequest(text: string, rules: PathRules): ReferenceHead {
  const leading = /^(\r\n){0,8}/.exec(text)![0].length;
  const rest = text.slice(leading);
  if (rest === '' || rest === '\r') return { kind: 'incomplete' };
  if (rest[0] === '\r') return { kind: 'refused', statuses: new Set([400]) };
  const end = rest.indexOf('\r\n\r\n');
  if (end < 0) return { kind: 'incomplete' };
  const length = leading + end + 4;
  const [requestLine = '', ...lines] = rest.slice(0, end).split('\r\n');
  const statuses = new Set<number>();
  if (length > MAX_HEAD_BYTES) statuses.add(431);
  if (lines.length > 100) statuses.add(431);

  const parts = /^([^ ]*) ([^ ]*) (.*)$/s.exec(requestLine);
  if (parts === null) {
    statuses.add(400);
    return { kind: 'refused', statuses };
  }
  const [, method = '', target = '', version = ''] = parts;
  if (!TOKEN.test(method) || /[a-z]/.test(method) || method.length > 32) statuses.add(400);
  if (target === '' || CONTROL.test(target) || /[^ -~]/.test(target)) statuses.add(400);
  if (!/^HTTP\/1\.[01]$/.test(version)) {
    if (/^HTTP\/\d\.\d/.test(version)) statuses.add(505);
    if (!/^HTTP\/\d\.\d$/.test(version)) statuses.add(400);
  }
  const minor = version === 'HTTP/1.0' ? 0 : 1;
  const all = parseLines(lines, statuses);
  const framing = readFraming(all, minor, statuses);
  if (method === 'CONNECT' && framing.body !== 'none') statuses.add(framing.body === 'chunked' ? 501 : 400);
  const nominated = readConnection(all, statuses);
  const resolved = resolveTarget(method, target, all, rules, statuses);
  if (resolved === undefined) statuses.add(400);
  if (statuses.size > 0 || resolved === undefined) return { kind: 'refused', statuses };

  const expects = all.some((h) => h.name === 'expect' && h.value.toLowerCase() === '100-continue') && minor === 1;
  let lengths = 0;
  const headers = all.filter(({ name, value }) => {
    if (HOP_BY_HOP.has(name) || nominated.has(name)) return false;
    if (name === 'content-length' && (lengths++ > 0 || method === 'CONNECT')) return false;
    return !(name === 'expect' && value.toLowerCase() === '100-continue');
  });
  const keepAlive = !nominated.has('close') && (minor === 1 || nominated.has('keep-alive'));
  return {
    kind: 'request',
    length,
    method,
    minor,
    headers,
    ...framing,
    ...resolved,
    keepAlive,
    expectContinue: expects,
  };
}

/** Names in lower case; a line that breaks the syntax adds 400. */
export function parseLines(lines: readonly string[], statuses: Set<number>): ReferenceHeader[] {
  const headers: ReferenceHeader[] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0));
    const value = line.slice(colon + 1);
    if (colon < 0 || !TOKEN.test(name) || CONTROL.test(value)) {
      statuses.add(400);
      continue;
    }
    const trimmed = value.replace(/^[ \t]+|[ \t]+$/g, '');
    const respelled = name.toLowerCase() === 'content-length' && trimmed.length <= 19;
    headers.push({ name: name.toLowerCase(), value: respelled ? trimmed.replace(/^0+(?=\d)/, '') : trimmed });
  }
  return headers;
}

/** Content-Length and Transfer-Encoding, together (RFC 9112, 6). */
export function readFraming(
  headers: readonly ReferenceHeader[],
  minor: number,
  statuses: Set<number>,
): { body: 'none' | 'chunked' | 'length'; contentLength: number } {
  const lengths = headers.filter((h) => h.name === 'content-length').map((h) => h.value);
  if (lengths.some((value) => !/^\d{1,19}$/.test(value) || Number(value) > Number.MAX_SAFE_INTEGER)) statuses.add(400);
  if (new Set(lengths.map(Number)).size > 1) statuses.add(400);
  const codings = headers
    .filter((h) => h.name === 'transfer-encoding')
    .flatMap((h) => h.value.split(',').map((coding) => coding.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase()));
  if (codings.length > 0) {
    if (lengths.length > 0 || minor === 0 || codings.includes('')) statuses.add(400);
    if (codings[codings.length - 1] !== 'chunked' || codings.slice(0, -1).includes('chunked')) statuses.add(400);
    else if (codings.length > 1) statuses.add(501);
    return { body: 'chunked', contentLength: 0 };
  }
  const contentLength = Number(lengths[0] ?? 0);
  return { body: contentLength > 0 ? 'length' : 'none', contentLength };
}

/** All connection options in lower case. */
export function readConnection(headers: readonly ReferenceHeader[], statuses: Set<number>): ReadonlySet<string> {
  const options = new Set<string>();
  for (const { name, value } of headers) {
    if (name !== 'connection') continue;
    let others = 0;
    for (const part of value.split(',')) {
      const option = part.replace(/^[ \t]+|[ \t]+$/g, '').toLowerCase();
      if (option === '') continue;
      if (!TOKEN.test(option)) statuses.add(400);
      if (['host', 'content-length', 'transfer-encoding', 'connection'].includes(option)) statuses.add(400);
      if (!['close', 'keep-alive', 'upgrade'].includes(option) && ++others > 16) statuses.add(400);
      options.add(option);
    }
  }
  return options;
}

function resolveTarget(
  method: string,
  target: string,
  headers: readonly ReferenceHeader[],
  rules: PathRules,
  statuses: Set<number>,
): { authority: string; path: string; pathOnly: string } | undefined {
  const hosts = headers.filter((h) => h.name === 'host').map((h) => h.value);
  if (hosts.length > 1 || (hosts.length === 0 && method !== 'CONNECT')) statuses.add(400);
  if (hosts.some((host) => !AUTHORITY.test(host))) statuses.add(400);
  if (method === 'CONNECT') {
    const port = /^(?:\[[^\]]*\]|[^[:][^:]*):(\d{1,5})$/.exec(target)?.[1];
    if (port === undefined || Number(port) > 65_535) return undefined;
    return AUTHORITY.test(target) ? { authority: target, path: '', pathOnly: '' } : undefined;
  }
  const authority = hosts[0] ?? '';
  if (target === '*' && method === 'OPTIONS') return { authority, path: '*', pathOnly: '*' };
  const absolute = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target);
  if (!target.startsWith('/') && (absolute === null || !AUTHORITY.test(absolute[1]!))) return undefined;
  const local = target.startsWith('/') ? target : absolute![2]!;
  const parts = /^([^?#]*)(\?[^#]*)?/s.exec(local)!;
  const pathOnly = normalizePath(parts[1]!.startsWith('/') ? parts[1]! : `/${parts[1]}`, rules);
  if (pathOnly === undefined) return undefined;
  return { authority: target.startsWith('/') ? authority : absolute![1]!, path: pathOnly + (parts[2] ?? ''), pathOnly };
}
