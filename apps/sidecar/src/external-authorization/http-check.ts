// External authorization: what an authorizer is asked by HTTP, and what its answer comes to.

import type { HttpAnswer, HttpQuestion } from '../upstream/calls/http-call.js';
import { type AskedRequest, PARTIAL_BODY } from './asked-request.js';
import type { Authorizer, HttpService } from './authorizer.js';
import { type AskedBody, toldHeaders } from './check-request.js';
import type { HeaderChange } from './header-change.js';
import type { Verdict } from './verdict.js';

const OK = 200;
const FIRST_SERVER_ERROR = 500;
const HEADERS_TO_REMOVE = 'x-envoy-auth-headers-to-remove';
/** Told whether listed or not. */
const ALWAYS_TOLD = new Set([':method', ':path', ':authority', 'authorization', 'content-length']);
/** What a denial tells whether listed or not, where something is listed. */
const ALWAYS_TO_CLIENT = new Set(['location', 'www-authenticate', 'path']);
/** Of an answer to a question nobody but the proxy has asked. */
const OF_THE_CALL = new Set(['server', 'date']);

/** Whether a header of the client is told by HTTP. */
export function isToldByHttp(listed: (name: string) => boolean): (name: string) => boolean {
  return (name) => ALWAYS_TOLD.has(name) || (name !== ':scheme' && listed(name));
}

/** @returns undefined where HTTP has no such question: about CONNECT, which the authorizer would take for its own */
export function httpQuestion(
  { isTold }: Pick<Authorizer, 'isTold'>,
  service: HttpService,
  asked: AskedRequest,
  body: AskedBody | undefined,
): HttpQuestion | undefined {
  if (asked.path === '') return undefined;
  const bytes = body?.bytes ?? Buffer.alloc(0);
  const own = new Set(service.headersToAdd.map(([name]) => name.toLowerCase()));
  const lines: string[] = [];
  for (const [name, value] of toldHeaders(asked, isTold)) {
    // How much there is says the question itself.
    if (name.startsWith(':') || name === 'content-length' || own.has(name)) continue;
    lines.push(`${name}: ${value}`);
  }
  if (body !== undefined && !own.has(PARTIAL_BODY)) lines.push(`${PARTIAL_BODY}: ${body.partial}`);
  for (const [name, value] of service.headersToAdd) lines.push(`${name.toLowerCase()}: ${value}`);
  lines.push(`content-length: ${bytes.length}`);
  const head = `${asked.method} ${service.pathPrefix}${asked.path} HTTP/1.1\r\nhost: ${asked.authority}\r\n${lines.join('\r\n')}\r\n\r\n`;
  return { method: asked.method, head: Buffer.from(head, 'latin1'), body: bytes };
}

export function readHttpAnswer(service: HttpService, { status, headers, body }: HttpAnswer): Verdict {
  if (status >= FIRST_SERVER_ERROR) return { kind: 'failed', reason: `status ${status}` };
  const metadata = headers.filter(([name]) => service.toMetadata(name));
  const told = headers.filter(([name]) => name !== HEADERS_TO_REMOVE && !OF_THE_CALL.has(name));
  const changes = (kind: HeaderChange['kind'], isWanted: (name: string) => boolean): HeaderChange[] =>
    told.filter(([name]) => isWanted(name)).map(([name, value]) => ({ kind, name, value }));
  if (status === OK) {
    const removed = headers
      .filter(([name]) => name === HEADERS_TO_REMOVE)
      .flatMap(([, value]) => value.split(','))
      .map((name) => name.trim())
      .filter((name) => name !== '');
    return {
      kind: 'allowed',
      request: {
        headers: [...changes('set', service.toUpstream), ...changes('add', service.toUpstreamBeside)],
        removed,
        parametersSet: [],
        parametersRemoved: [],
      },
      answer: changes('add', service.toClientOnAllow),
      metadata,
    };
  }
  return {
    kind: 'denied',
    status,
    body: body.toString('latin1'),
    headers: changes('add', service.toClientOnDeny),
    metadata,
  };
}

/** What a denial tells the client of its headers. */
export function isToldToClient(listed: ((name: string) => boolean) | undefined): (name: string) => boolean {
  if (listed === undefined) return () => true;
  return (name) => ALWAYS_TO_CLIENT.has(name) || listed(name);
}
