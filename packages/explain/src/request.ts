// Explain: the request, from the words of a command line to the bytes that a proxy reads.

/** A request as it is asked about. */
export interface ExplainedRequest {
  readonly method: string;
  readonly scheme: 'http' | 'https';
  /** The name or address that is connected to, in lower case, and the port. */
  readonly connectHost: string;
  readonly connectPort: number;
  /** What the Host header says. */
  readonly authority: string;
  /** As written, with its query. */
  readonly path: string;
  /** Without Host. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** What is wrong with the words, and how they should be. */
export class RequestSyntaxError extends Error {}

const REQUEST = /^(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s+)?(https?):\/\/([^/?#\s]*)([/?#]\S*)?$/i;
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[^:@[\]]+)(?::(\d{1,5}))?$/i;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * Reads `METHOD http://HOST[:PORT]/PATH` (GET where no method is given) and `NAME: VALUE` headers; `host` and
 * `:authority` replace the Host that the address gives.
 */
export function parseRequest(text: string, headerTexts: readonly string[]): ExplainedRequest {
  const match = REQUEST.exec(text.trim());
  if (match === null) {
    throw new RequestSyntaxError(`"${text}" is no request; write it as 'GET http://reviews:9080/path'`);
  }
  const [, method = 'GET', scheme, authorityText, target = '/'] = match as unknown as [string, ...string[]];
  const authority = AUTHORITY.exec(authorityText!);
  const port = authority?.[2] === undefined ? undefined : Number(authority[2]);
  if (authority === null || (port !== undefined && (port < 1 || port > 65_535))) {
    throw new RequestSyntaxError(`"${authorityText}" is no host; write HOST or HOST:PORT, as in http://reviews:9080/`);
  }
  const headers = headerTexts.map(parseHeader);
  const isHost = ([name]: readonly [string, string]) => /^(?::authority|host)$/i.test(name);
  const secure = scheme!.toLowerCase() === 'https';
  return {
    method: method.toUpperCase(),
    scheme: secure ? 'https' : 'http',
    connectHost: authority[1]!.toLowerCase(),
    connectPort: port ?? (secure ? 443 : 80),
    authority: headers.find(isHost)?.[1] ?? authorityText!,
    path: target.startsWith('/') ? target : `/${target}`,
    headers: headers.filter((header) => !isHost(header)),
  };
}

function parseHeader(text: string): [string, string] {
  const colon = text.indexOf(':', 1);
  const name = text.slice(0, Math.max(colon, 0)).trim();
  const value = text.slice(colon + 1).trim();
  if (colon < 0 || (!TOKEN.test(name) && name !== ':authority')) {
    throw new RequestSyntaxError(`"${text}" is no header; write it as 'end-user: jason'`);
  }
  // A proxy reads bytes; these would end the line.
  if (/[\r\n\0]/.test(value)) throw new RequestSyntaxError(`the value of header "${name}" holds a line end`);
  return [name, value];
}

/** The head of the request as a client sends it: to a forward proxy with the whole address. */
export function requestHead(request: ExplainedRequest, absolute: boolean): string {
  const { method, scheme, authority, path, headers } = request;
  const target = absolute ? `${scheme}://${authority}${path}` : path;
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\nhost: ${authority}\r\n${lines.join('')}\r\n`;
}
