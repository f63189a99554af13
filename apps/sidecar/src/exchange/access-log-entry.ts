// Exchange: what an access log may ask of a request; exists only on connections whose listener logs.

import {
  type Core,
  REQ_AUTHORITY_LENGTH,
  REQ_AUTHORITY_OFFSET,
  REQ_HEAD_LENGTH,
  REQ_HEAD_OFFSET,
  REQ_METHOD_LENGTH,
  REQ_METHOD_OFFSET,
  REQ_MINOR_VERSION,
  REQ_PATH_LENGTH,
  REQ_PATH_OFFSET,
  ROUTE_NAME_LENGTH,
  ROUTE_NAME_OFFSET,
} from '@lateen/filters-wasm';
import type { JsonFields } from '@lateen/jwt';
import type { AccessLogRecord, AccessLogSink } from '../data-plane.js';
import type { UpstreamCluster } from '../upstream/upstream-cluster.js';
import type { AnsweringExchange } from './answering-exchange.js';
import type { ExchangeClient } from './exchange-client.js';
import { claimText } from './filters/token-check.js';
import { flagsText } from './response-flags.js';

/** One for each connection, used again for each request. */
export class AccessLogEntry implements AccessLogRecord {
  startTimeMs = 0;
  durationMs = 0;
  method: string | undefined;
  path: string | undefined;
  authority: string | undefined;
  protocol: string | undefined;
  responseCode = 0;
  responseFlags = '-';
  responseCodeDetails: string | undefined;
  grpcStatus: number | undefined;
  connectionTerminationDetails: string | undefined;
  upstreamTransportFailureReason: string | undefined;
  bytesReceived = 0;
  bytesSent = 0;
  upstreamServiceTimeMs: number | undefined;
  upstreamHost: string | undefined;
  upstreamCluster: string | undefined;
  upstreamStatName: string | undefined;
  upstreamLocalAddress: string | undefined;
  downstreamLocalAddress: string | undefined;
  downstreamRemoteAddress: string | undefined;
  requestedServerName: string | undefined;
  routeName: string | undefined;
  downstreamPeerUriSan: string | undefined;
  attemptCount = 0;
  /** What filters have said of the request, by namespace and name (`NAMESPACE:NAME`). */
  private readonly noted = new Map<string, string>();
  /** Payloads of good tokens, by the name that their providers give them. */
  private claims: ReadonlyMap<string, JsonFields> | null = null;
  private readonly requestHead = new IndexedHead();
  private readonly responseHead = new IndexedHead();

  constructor(
    private readonly core: Core,
    private readonly sink: AccessLogSink,
  ) {}

  /** Forgets the last request. */
  begin(): void {
    this.startTimeMs = Date.now();
    this.method = undefined;
    this.path = undefined;
    this.authority = undefined;
    this.protocol = undefined;
    this.routeName = undefined;
    this.upstreamLocalAddress = undefined;
    this.requestHead.set('');
    this.responseHead.set('');
    this.noted.clear();
    this.claims = null;
  }

  noteMetadata(name: string, value: string): void {
    this.noted.set(name, value);
  }

  /** Tokens are good. */
  noteClaims(claims: ReadonlyMap<string, JsonFields>): void {
    if (claims.size > 0) this.claims = claims;
  }

  metadata(name: string): string | undefined {
    return this.noted.get(name) ?? (this.claims === null ? undefined : claimText(this.claims, name));
  }

  /** REQ_* is filled. */
  noteRequest(http2: boolean): void {
    const { core } = this;
    this.method = this.text(REQ_METHOD_OFFSET, REQ_METHOD_LENGTH);
    this.path = this.text(REQ_PATH_OFFSET, REQ_PATH_LENGTH);
    this.authority = this.text(REQ_AUTHORITY_OFFSET, REQ_AUTHORITY_LENGTH);
    this.protocol = http2 ? 'HTTP/2' : core.i32[REQ_MINOR_VERSION >> 2] === 0 ? 'HTTP/1.0' : 'HTTP/1.1';
    this.requestHead.set(this.text(REQ_HEAD_OFFSET, REQ_HEAD_LENGTH) ?? '');
  }

  /** ROUTE_* is filled. */
  noteRoute(): void {
    this.routeName = this.text(ROUTE_NAME_OFFSET, ROUTE_NAME_LENGTH);
  }

  /** The head as sent to the client, at an address of the memory. */
  noteResponse(address: number, length: number): void {
    const text = this.core.text(address, length);
    const end = text.indexOf('\r\n\r\n');
    this.responseHead.set(end < 0 ? text : text.slice(0, end + 4));
  }

  /** Hands the finished request to the log. `sentHead` is the head as the upstream got it, empty where none did. */
  finish(
    exchange: AnsweringExchange,
    client: ExchangeClient,
    cluster: UpstreamCluster | undefined,
    sentHead: string,
    nowMs: number,
  ): void {
    this.durationMs = nowMs - exchange.startMs;
    this.responseCode = exchange.status;
    this.responseFlags = flagsText(exchange.flags);
    this.grpcStatus = exchange.grpcStatus < 0 ? undefined : exchange.grpcStatus;
    this.responseCodeDetails = exchange.details === '' ? undefined : exchange.details;
    this.connectionTerminationDetails = undefined;
    this.upstreamTransportFailureReason = exchange.failureReason === '' ? undefined : exchange.failureReason;
    this.bytesReceived = exchange.requestBodyBytes;
    this.bytesSent = exchange.responseBodyBytes;
    this.upstreamServiceTimeMs = exchange.serviceTimeMs < 0 ? undefined : exchange.serviceTimeMs;
    this.upstreamHost = exchange.endpoint?.addressText;
    this.upstreamCluster = cluster?.name;
    this.upstreamStatName = cluster?.statName;
    this.upstreamLocalAddress = exchange.upstreamLocalAddress;
    this.downstreamLocalAddress = client.localAddressText;
    this.downstreamRemoteAddress = client.remoteAddressText;
    this.requestedServerName = client.serverName === '' ? undefined : client.serverName;
    this.downstreamPeerUriSan = client.peerPrincipal === '' ? undefined : client.peerPrincipal;
    this.attemptCount = exchange.attempts.count;
    if (sentHead !== '') this.requestHead.set(sentHead);
    this.sink(this);
  }

  requestHeader(name: string): string | undefined {
    return this.requestHead.value(name);
  }

  responseHeader(name: string): string | undefined {
    return this.responseHead.value(name);
  }

  private text(offsetField: number, lengthField: number): string | undefined {
    const length = this.core.i32[lengthField >> 2]!;
    return length === 0 ? undefined : this.core.text(this.core.i32[offsetField >> 2]!, length);
  }
}

/** A head whose lines are looked for once, for all headers that a log asks for. */
class IndexedHead {
  private head = '';
  /** Lines; -1 while nobody has asked. */
  private count = 0;
  private readonly starts: number[] = [];
  private readonly nameLengths: number[] = [];
  private readonly ends: number[] = [];

  set(head: string): void {
    this.head = head;
    this.count = head === '' ? 0 : -1;
  }

  /** First value of a header (in lower case). */
  value(name: string): string | undefined {
    if (this.count < 0) this.findLines();
    const { head, starts, nameLengths } = this;
    for (let line = 0; line < this.count; line++) {
      if (nameLengths[line] !== name.length) continue;
      const start = starts[line]!;
      if (head.startsWith(name, start) || head.slice(start, start + name.length).toLowerCase() === name) {
        return head.slice(start + name.length + 1, this.ends[line]).trim();
      }
    }
    return undefined;
  }

  private findLines(): void {
    const { head } = this;
    let count = 0;
    for (let start = head.indexOf('\r\n') + 2; start > 1; ) {
      const end = head.indexOf('\r\n', start);
      if (end <= start) break;
      this.starts[count] = start;
      this.nameLengths[count] = head.indexOf(':', start) - start;
      this.ends[count] = end;
      count++;
      start = end + 2;
    }
    this.count = count;
  }
}

/** First value of a header (in lower case) in the text of a head. */
export function headerValue(head: string, name: string): string | undefined {
  for (let start = head.indexOf('\r\n') + 2; start > 1; ) {
    const end = head.indexOf('\r\n', start);
    if (end <= start) return undefined;
    if (
      head.charCodeAt(start + name.length) === 0x3a &&
      head.slice(start, start + name.length).toLowerCase() === name
    ) {
      return head.slice(start + name.length + 1, end).trim();
    }
    start = end + 2;
  }
  return undefined;
}
