// Listener options: what an HTTP connection manager says about every request, as a record that the core reads.
import * as A from './compile/limits/ask-layout.js';
import type { Core } from './core.js';
import * as L from './layout.js';
import { FILTER_ENTRY_BYTES } from './table-layout.js';

/** See the fields of HttpConnectionManager with the same names. `compileHttpConnectionManager` makes this from one. */
export interface ListenerOptions {
  readonly normalizePath: boolean;
  readonly mergeSlashes: boolean;
  readonly escapedSlashes: 'keep' | 'reject' | 'unescape';
  /** Outside the mesh: x-envoy-* and identity headers of requests are removed. */
  readonly edge: boolean;
  readonly useRemoteAddress: boolean;
  readonly skipXffAppend: boolean;
  readonly xffNumTrustedHops: number;
  /** x-forwarded-port says at which port the client has connected, unless it is there; at the edge only trusted proxies can have set it. */
  readonly appendForwardedPort?: boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly serverHeader: 'overwrite' | 'append-if-absent' | 'pass-through';
  readonly serverName: string;
  readonly allowWebsocket: boolean;
  readonly acceptHttp10: boolean;
  /** x-envoy-upstream-service-time in answers, x-envoy-original-path in requests (the router's suppress_envoy_headers turns them off). */
  readonly routerHeaders: boolean;
  readonly forwardClientCert: 'sanitize' | 'forward-only' | 'append-forward' | 'sanitize-set' | 'always-forward-only';
  /** Take the peer's metadata from x-envoy-peer-metadata(-id) of requests (inbound) or responses (outbound). */
  readonly peerFromRequest: boolean;
  readonly peerFromResponse: boolean;
  /** Own peer headers to add; each is [name, value]. */
  readonly requestLines: readonly (readonly [string, string])[];
  readonly responseLines: readonly (readonly [string, string])[];
  /** Rate limits of the filters in their order: number of the filter (limitSlots.filterId), record (tables.rateLimit). */
  readonly rateLimits?: readonly { readonly filterId: number; readonly record: Uint8Array | undefined }[];
  /** Number of the filter that shares answers with other origins (limitSlots.filterId). */
  readonly corsFilterId?: number | undefined;
  /** The filter that injects faults: its number (limitSlots.filterId), its own fault (compileFault). */
  readonly fault?: { readonly filterId: number; readonly record: Uint8Array | undefined } | undefined;
  /** Filters that ask a rate limit service, in their order: the filter's number (limitSlots.filterId), whose requests it is for. */
  readonly asks?: readonly {
    readonly filterId: number;
    readonly stage: number;
    readonly requestType: number;
    /** tables.refusalHeaders */
    readonly reply: Uint8Array;
  }[];
  /** Number under which routes have rate limit actions (limitSlots.filterId). */
  readonly actionsId?: number;
  /** Records of quota filters in their order (tables.quota). */
  readonly quotas?: readonly Uint8Array[];
}

const FORWARD_CLIENT_CERT = {
  sanitize: L.FORWARD_CLIENT_CERT_SANITIZE,
  'forward-only': L.FORWARD_CLIENT_CERT_FORWARD_ONLY,
  'append-forward': L.FORWARD_CLIENT_CERT_APPEND_FORWARD,
  'sanitize-set': L.FORWARD_CLIENT_CERT_SANITIZE_SET,
  'always-forward-only': L.FORWARD_CLIENT_CERT_ALWAYS_FORWARD_ONLY,
} as const;

/**
 * Offset of the record for these options; equal options share one. It never changes, and is kept for at least an hour
 * after `stable.retain('listener', …)` stops naming it, so an exchange may hold it. Throws where the region is full.
 */
export function internListenerOptions(core: Core, options: ListenerOptions, nowMs: number): number {
  const server = Buffer.from(options.serverName, 'latin1');
  const requestLines = Buffer.from(headerLines(options.requestLines), 'latin1');
  const responseLines = Buffer.from(headerLines(options.responseLines), 'latin1');
  const record = Buffer.alloc(L.LISTENER_BYTES + server.length + requestLines.length + responseLines.length);
  record.writeInt32LE(listenerFlags(options), L.LISTENER_FLAGS);
  record.writeInt32LE(options.xffNumTrustedHops, L.LISTENER_TRUSTED_HOPS);
  record.writeInt32LE(FORWARD_CLIENT_CERT[options.forwardClientCert], L.LISTENER_FORWARD_CLIENT_CERT);
  record.writeInt32LE(options.corsFilterId ?? 0, L.LISTENER_CORS_FILTER);
  let end = L.LISTENER_BYTES;
  for (const [offsetField, lengthField, content] of [
    [L.LISTENER_SERVER_OFFSET, L.LISTENER_SERVER_LENGTH, server],
    [L.LISTENER_REQUEST_LINES_OFFSET, L.LISTENER_REQUEST_LINES_LENGTH, requestLines],
    [L.LISTENER_RESPONSE_LINES_OFFSET, L.LISTENER_RESPONSE_LINES_LENGTH, responseLines],
  ] as const) {
    record.writeInt32LE(end, offsetField);
    record.writeInt32LE(content.length, lengthField);
    record.set(content, end);
    end += content.length;
  }
  const offset = core.stable.intern(
    'listener',
    withAsks(
      withQuotas(withRateLimits(withFault(record, options.fault), options.rateLimits ?? []), options.quotas ?? []),
      options,
    ),
    nowMs,
  );
  if (offset === 0) throw new Error('the region for listener options and route policies is full; restart the sidecar');
  return offset;
}

/** The record with the number of its fault filter, and the filter's own fault behind it. */
function withFault(record: Buffer, fault: ListenerOptions['fault']): Buffer {
  if (fault === undefined) return record;
  record.writeInt32LE(fault.filterId, L.LISTENER_FAULT_FILTER);
  if (fault.record === undefined) return record;
  const offset = (record.length + 7) & ~7;
  record.writeInt32LE(offset, L.LISTENER_FAULT);
  return Buffer.concat([record, Buffer.alloc(offset - record.length), fault.record]);
}

/** The record with its list of limits, and the limits themselves, behind it. */
function withRateLimits(record: Buffer, limits: NonNullable<ListenerOptions['rateLimits']>): Buffer {
  if (limits.length === 0) return record;
  const list = (record.length + 7) & ~7;
  const parts = [record, Buffer.alloc(list - record.length + limits.length * FILTER_ENTRY_BYTES)];
  const entries = parts[1] as Buffer;
  record.writeInt32LE(list, L.LISTENER_LIMITS);
  record.writeInt32LE(limits.length, L.LISTENER_LIMIT_COUNT);
  let end = list + limits.length * FILTER_ENTRY_BYTES;
  limits.forEach(({ filterId, record: limit }, index) => {
    const entry = list - record.length + index * FILTER_ENTRY_BYTES;
    entries.writeInt32LE(filterId, entry);
    if (limit === undefined) return;
    entries.writeInt32LE(end, entry + 4);
    parts.push(Buffer.from(limit));
    end += limit.length;
  });
  return Buffer.concat(parts);
}

/** The record with the list of its quotas, and the quotas themselves, behind it. */
function withQuotas(record: Buffer, quotas: readonly Uint8Array[]): Buffer {
  if (quotas.length === 0) return record;
  const aligned = (length: number) => (length + 7) & ~7;
  const list = aligned(record.length);
  const start = list + aligned(quotas.length * 4);
  const whole = Buffer.alloc(quotas.reduce((end, { length }) => end + aligned(length), start));
  record.copy(whole);
  whole.writeInt32LE(list, L.LISTENER_QUOTAS);
  whole.writeInt32LE(quotas.length, L.LISTENER_QUOTA_COUNT);
  let end = start;
  quotas.forEach((quota, index) => {
    whole.writeInt32LE(end, list + index * 4);
    whole.set(quota, end);
    end += aligned(quota.length);
  });
  return whole;
}

/** The record with the list of its filters that ask a service behind it. */
function withAsks(record: Buffer, { asks = [], actionsId = 0 }: ListenerOptions): Buffer {
  if (asks.length === 0) return record;
  const list = (record.length + 7) & ~7;
  const whole = Buffer.alloc(
    list + asks.reduce((bytes, { reply }) => bytes + A.ASK_BYTES + ((reply.length + 7) & ~7), 0),
  );
  let end = list + asks.length * A.ASK_BYTES;
  record.copy(whole);
  whole.writeInt32LE(list, L.LISTENER_ASKS);
  whole.writeInt32LE(asks.length, L.LISTENER_ASK_COUNT);
  asks.forEach(({ filterId, stage, requestType, reply }, index) => {
    const at = list + index * A.ASK_BYTES;
    whole.writeInt32LE(filterId, at + A.ASK_FILTER);
    whole.writeInt32LE(actionsId, at + A.ASK_ACTIONS);
    whole.writeInt32LE(stage, at + A.ASK_STAGE);
    whole.writeInt32LE(requestType, at + A.ASK_REQUEST_TYPE);
    whole.writeInt32LE(end, at + A.ASK_REPLY);
    whole.set(reply, end);
    end += (reply.length + 7) & ~7;
  });
  return whole;
}

function headerLines(lines: readonly (readonly [string, string])[]): string {
  return lines.map(([name, value]) => `${name}: ${value}\r\n`).join('');
}

function listenerFlags(options: ListenerOptions): number {
  let flags = 0;
  const set = (on: boolean, flag: number) => {
    if (on) flags |= flag;
  };
  set(options.normalizePath, L.LISTENER_NORMALIZE_PATH);
  set(options.mergeSlashes, L.LISTENER_MERGE_SLASHES);
  set(options.escapedSlashes === 'unescape', L.LISTENER_UNESCAPE_SLASHES);
  set(options.escapedSlashes === 'reject', L.LISTENER_REJECT_ESCAPED_SLASHES);
  set(options.edge, L.LISTENER_EDGE);
  set(options.useRemoteAddress, L.LISTENER_USE_REMOTE_ADDRESS);
  set(options.skipXffAppend, L.LISTENER_SKIP_XFF_APPEND);
  set(options.appendForwardedPort ?? false, L.LISTENER_FORWARDED_PORT);
  set(options.generateRequestId, L.LISTENER_GENERATE_REQUEST_ID);
  set(options.preserveExternalRequestId, L.LISTENER_PRESERVE_EXTERNAL_REQUEST_ID);
  set(options.serverHeader === 'overwrite', L.LISTENER_SERVER_OVERWRITE);
  set(options.serverHeader === 'append-if-absent', L.LISTENER_SERVER_IF_ABSENT);
  set(options.allowWebsocket, L.LISTENER_ALLOW_WEBSOCKET);
  set(options.routerHeaders, L.LISTENER_SERVICE_TIME);
  set(options.peerFromRequest, L.LISTENER_PEER_FROM_REQUEST);
  set(options.peerFromResponse, L.LISTENER_PEER_FROM_RESPONSE);
  set(options.acceptHttp10, L.LISTENER_ACCEPT_HTTP_10);
  return flags;
}
