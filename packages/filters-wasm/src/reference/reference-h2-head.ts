// Test support: what RFC 9113, 8.2 and 8.3 make of the fields of a header block, as a head in HTTP/1.1 form or a verdict.
import * as H from '../http2/h2-layout.js';
import type { Field } from './reference-hpack.js';

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what is refused
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;
const NOT_IN_TARGET = /[^!-~]/;
const FORBIDDEN = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'];
const PSEUDO = [':method', ':scheme', ':authority', ':path', ':protocol', ':status'];

/** The head, or `malformed`. Limits are not looked at. */
export function referenceHead(fields: readonly Field[], kind: number): string {
  const request = (kind & H.H2_REQUEST) !== 0;
  const trailers = (kind & H.H2_TRAILERS) !== 0;
  const ended = (kind & H.H2_END_STREAM) !== 0;
  const pseudo = new Map<string, string>();
  const lines: string[] = [];
  const crumbs: string[] = [];
  let contentLength: number | undefined;
  let hosts = 0;
  let begun = trailers;
  for (const [name, value] of fields) {
    if (CONTROL.test(value) || /^[ \t]|[ \t]$/.test(value)) return 'malformed';
    if (name.startsWith(':')) {
      if (begun || !PSEUDO.includes(name) || pseudo.has(name) || value === '' || request === (name === ':status')) {
        return 'malformed';
      }
      pseudo.set(name, value);
      continue;
    }
    begun = true;
    if (!NAME.test(name) || FORBIDDEN.includes(name)) return 'malformed';
    if (trailers && ['host', 'content-length', 'te', 'cookie'].includes(name)) return 'malformed';
    if (name === 'te' && value.toLowerCase() !== 'trailers') return 'malformed';
    if (name === 'content-length') {
      if (!/^\d{1,19}$/.test(value) || BigInt(value) > BigInt(Number.MAX_SAFE_INTEGER)) return 'malformed';
      if (contentLength !== undefined && contentLength !== Number(value)) return 'malformed';
      if (contentLength !== undefined) continue;
      contentLength = Number(value);
    }
    if (name === 'host') {
      if (++hosts > 1) return 'malformed';
      const authority = pseudo.get(':authority');
      if (request && authority !== undefined) {
        if (authority.toLowerCase() !== value.toLowerCase()) return 'malformed';
        continue;
      }
    }
    if (name === 'cookie') crumbs.push(value);
    else lines.push(`${name}: ${value}`);
  }
  if (trailers) return lines.map((line) => `${line}\r\n`).join('');
  const first = request ? requestLines(pseudo, kind) : responseLines(pseudo, kind);
  if (first === undefined || (request && ended && (contentLength ?? 0) > 0)) return 'malformed';
  if (crumbs.length > 0) lines.push(`cookie: ${crumbs.join('; ')}`);
  if (first.body && contentLength === undefined) lines.push('transfer-encoding: chunked');
  return `${[...first.lines, ...lines].join('\r\n')}\r\n\r\n`;
}

interface FirstLines {
  readonly lines: readonly string[];
  /** Whether a body may follow. */
  readonly body: boolean;
}

function requestLines(pseudo: ReadonlyMap<string, string>, kind: number): FirstLines | undefined {
  const ended = (kind & H.H2_END_STREAM) !== 0;
  const [method, scheme, authority, path, protocol] = PSEUDO.map((name) => pseudo.get(name));
  if (method === undefined || !TOKEN.test(method)) return undefined;
  if (authority !== undefined && NOT_IN_TARGET.test(authority)) return undefined;
  const host = authority === undefined ? [] : [`host: ${authority}`];
  const connect = method === 'CONNECT';
  if (connect && protocol === undefined) {
    if (scheme !== undefined || path !== undefined || authority === undefined) return undefined;
    return { lines: [`CONNECT ${authority} HTTP/1.1`, ...host], body: false };
  }
  if (scheme === undefined || !TOKEN.test(scheme) || path === undefined || NOT_IN_TARGET.test(path)) {
    return undefined;
  }
  if (!path.startsWith('/') && !(path === '*' && method === 'OPTIONS')) return undefined;
  if (protocol === undefined) return { lines: [`${method} ${path} HTTP/1.1`, ...host], body: !ended };
  if (!connect || (kind & H.H2_ALLOW_PROTOCOL) === 0 || authority === undefined || !TOKEN.test(protocol)) {
    return undefined;
  }
  return {
    lines: [`GET ${path} HTTP/1.1`, ...host, `upgrade: ${protocol}`, 'connection: Upgrade'],
    body: false,
  };
}

function responseLines(pseudo: ReadonlyMap<string, string>, kind: number): FirstLines | undefined {
  const ended = (kind & H.H2_END_STREAM) !== 0;
  const text = pseudo.get(':status');
  if (text === undefined || !/^[1-9]\d\d$/.test(text) || text === '101') return undefined;
  const status = Number(text);
  if (status < 200 && ended) return undefined;
  if ((kind & H.H2_UPGRADE) !== 0 && status >= 200 && status < 300) {
    return { lines: ['HTTP/1.1 101 ', 'upgrade: websocket', 'connection: Upgrade'], body: false };
  }
  return { lines: [`HTTP/1.1 ${text} `], body: !ended && status >= 200 && status !== 204 && status !== 304 };
}
