// External authorization: a request as filters see it that stand behind the connection manager: what the client sent, cleaned, with
// what the proxy adds of itself (x-forwarded-for, x-forwarded-client-cert…), and before the route changes anything.

import * as L from '@lateen/filters-wasm';
import type { ExchangeClient } from '../exchange/exchange-client.js';

export interface AskedRequest {
  readonly method: string;
  /** With the query; empty for CONNECT. */
  readonly path: string;
  readonly authority: string;
  readonly scheme: 'http' | 'https';
  readonly protocol: 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2';
  /** Names in lower case; bytes of values are characters of Latin-1. Framing is left out. */
  readonly headers: readonly (readonly [string, string])[];
  /** Made by the proxy, since the client has sent none. */
  readonly madeRequestId: string;
}

/** Told by authorizers alone, so that nobody else may say it. */
export const PARTIAL_BODY = 'x-envoy-auth-partial-body';
/** Written by the proxy itself, of the message or of the connection. */
const NOT_TOLD = new Set(['host', 'transfer-encoding', 'connection', 'upgrade', PARTIAL_BODY]);

/** REQ_* is filled; ROUTE_* is lost. Undefined where the head has no room. */
export function readAskedRequest(core: L.Core, client: ExchangeClient): AskedRequest | undefined {
  const { i32, wasm } = core;
  const text = (offset: number, length: number) => core.text(i32[offset >> 2]!, i32[length >> 2]!);
  const hadId = i32[L.REQ_REQUEST_ID_LENGTH >> 2] !== 0;
  const isConnect = i32[L.REQ_METHOD >> 2] === L.METHOD_CONNECT;
  // Without a route nothing is changed by one.
  wasm.route(-1, 0, client.secure);
  const length = wasm.writeUpstreamHead(
    L.EMBEDDER_SCRATCH,
    L.EMBEDDER_SCRATCH_BYTES,
    client.chain.listenerRecord,
    client.record,
    -1,
  );
  if (length <= 0) return undefined;
  const [, ...lines] = core.text(L.EMBEDDER_SCRATCH, length).split('\r\n');
  const headers: (readonly [string, string])[] = [];
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    const name = line.slice(0, colon).toLowerCase();
    if (!NOT_TOLD.has(name)) headers.push([name, line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]);
  }
  const forwarded = headers.find(([name]) => name === 'x-forwarded-proto')?.[1];
  const made = hadId ? undefined : headers.find(([name]) => name === 'x-request-id')?.[1];
  return {
    method: text(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH),
    path: isConnect ? '' : text(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH),
    authority: text(L.REQ_AUTHORITY_OFFSET, L.REQ_AUTHORITY_LENGTH),
    scheme: forwarded === 'https' || (forwarded !== 'http' && client.secure === 1) ? 'https' : 'http',
    protocol: client.framesMessages ? 'HTTP/2' : i32[L.REQ_MINOR_VERSION >> 2] === 0 ? 'HTTP/1.0' : 'HTTP/1.1',
    headers,
    madeRequestId: made ?? '',
  };
}
