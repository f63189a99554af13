// Exchange: writes response heads to the client, an upstream's or our own, together with what is there of the body.

import {
  BODY_CHUNKED,
  BODY_UNTIL_CLOSE,
  CHUNK_MODE_DATA,
  type Core,
  DOWNSTREAM_CLOSE,
  DOWNSTREAM_GRPC,
  DOWNSTREAM_HEAD,
  EMBEDDER_SCRATCH,
  EMBEDDER_SCRATCH_BYTES,
  HEAD_LINES,
  HEAD_LINES_LENGTH,
  HEAD_LINES_TYPED,
  PATH_SCRATCH,
  RESP_BODY,
  RESP_HEAD_LENGTH,
  ROUTE_BODY_LENGTH,
  ROUTE_BODY_OFFSET,
  ROUTE_LOCATION_LENGTH,
  ROUTE_LOCATION_OFFSET,
  ROUTE_STATUS,
  SET_COOKIES,
  SET_COOKIES_CONNECTION,
} from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { AccessLogEntry } from './access-log-entry.js';
import type { ExchangeClient } from './exchange-client.js';
import { putSharing, type Sharing } from './filters/cross-origin.js';
import type { WebCall } from './grpc/web-call.js';
import type { Attempts } from './retries/attempts.js';

/** Room for what the proxy usually adds to a response head. */
const ADDED_BYTES = 1024;
/** So much of a text is the message of gRPC where all of it has no room in a head; encoded it may be three times as long. */
const MAX_MESSAGE_BYTES = 8_192;

/** What the head writers need of an exchange. */
export interface ResponseFacts {
  readonly listenerRecord: number;
  /** Policy record, 0 = none. */
  readonly policy: number;
  /** DOWNSTREAM_* without DOWNSTREAM_CLOSE, which follows from the client. */
  readonly downstreamFlags: number;
  readonly serviceTimeMs: number;
  readonly attempts: Pick<Attempts, 'count' | 'madeCookies'>;
  readonly status: number;
  /** What the head says of other origins; null = nothing. */
  readonly sharing: Sharing | null;
  /** Header lines that it ends with, each with its end. */
  readonly headLines: string;
  /** The request is gRPC-Web: answers of our own are translated. */
  readonly web: WebCall | null;
}

/** RESP_* is filled: can the client only tell the end of this response by the end of its connection? */
export function endsWithConnection(core: Core, chunkMode: number): boolean {
  const body = core.i32[RESP_BODY >> 2]!;
  return body === BODY_UNTIL_CLOSE || (body === BODY_CHUNKED && chunkMode === CHUNK_MODE_DATA);
}

/** Tells the writers of heads. */
function putHeadLines({ i32, bytes }: Core, lines: string): void {
  if (lines === '') {
    i32[HEAD_LINES_LENGTH >> 2] = 0;
    return;
  }
  i32[HEAD_LINES_LENGTH >> 2] = bytes.write(lines, HEAD_LINES, 'latin1');
  i32[HEAD_LINES_TYPED >> 2] = Number(/^content-type:/im.test(lines));
}

export class ResponseWriter {
  /** The body of an answer of our own, where the scratch memory has its head and no room for more. */
  private restAddress = 0;
  private restLength = 0;

  constructor(
    private readonly path: DataPath,
    private readonly client: ExchangeClient,
    private readonly log: AccessLogEntry | null,
  ) {}

  /** RESP_* is filled: writes the head and the first bytes of the body, in one write where they fit. */
  writeHead(facts: ResponseFacts, bodyAddress: number, bodyLength: number): void {
    const { core, slots } = this.path;
    const { writer } = this.client;
    const needed = core.i32[RESP_HEAD_LENGTH >> 2]! + ADDED_BYTES;
    let block = slots.take(needed + bodyLength <= slots.largeBytes ? needed + bodyLength : needed);
    let length = block === 0 ? 0 : this.head(facts, block, slots.capacity(block));
    if (length === 0) {
      if (block !== 0) slots.give(block);
      block = 0;
      length = this.head(facts, EMBEDDER_SCRATCH, EMBEDDER_SCRATCH_BYTES);
      if (length === 0) {
        this.path.log('error', 'a response head exceeds the room for heads', {
          listener: this.client.chain.listenerName,
        });
        this.client.abort();
        return;
      }
      writer.writeBuffer(Buffer.from(core.bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + length)));
    }
    this.log?.noteResponse(block === 0 ? EMBEDDER_SCRATCH : block, length);
    if (block !== 0 && length + bodyLength <= slots.capacity(block)) {
      if (bodyLength > 0) core.wasm.copy(block + length, bodyAddress, bodyLength);
      writer.writeBlock(block, length + bodyLength);
      return;
    }
    if (block !== 0) writer.writeBlock(block, length);
    if (bodyLength > 0) writer.writeCopy(bodyAddress, bodyLength);
  }

  /** RESP_* is an interim response: passes it on, without what configuration adds to answers. */
  writeInterim(facts: ResponseFacts): void {
    const { core } = this.path;
    const flags = facts.downstreamFlags;
    const { listenerRecord } = facts;
    core.i32[HEAD_LINES_LENGTH >> 2] = 0;
    const length = core.wasm.writeDownstreamHead(
      EMBEDDER_SCRATCH,
      EMBEDDER_SCRATCH_BYTES,
      listenerRecord,
      0,
      flags,
      -1,
      0,
    );
    if (length > 0) this.client.writer.writeInterim(EMBEDDER_SCRATCH, length);
  }

  /** Writes an answer of our own; returns its length on the wire. */
  writeText(facts: ResponseFacts, body: string): number {
    const length = body === '' ? 0 : this.path.core.bytes.write(body, PATH_SCRATCH, 'latin1');
    return this.sendReply(this.compose(facts, facts.status, PATH_SCRATCH, length, 0, 0));
  }

  /** ROUTE_* is filled: writes the direct response or the redirect that the route says. */
  writeFromTable(facts: ResponseFacts): number {
    return this.sendReply(this.composeFromTable(facts));
  }

  /** The same as bytes to write later, empty where it exceeds its room. */
  copyFromTable(facts: ResponseFacts): Buffer {
    const length = this.composeFromTable(facts);
    const { bytes } = this.path.core;
    const { restAddress, restLength } = this;
    return Buffer.concat([
      bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + length),
      bytes.subarray(restAddress, restAddress + restLength),
    ]);
  }

  /** The answer to a preflight as bytes: what is shared, and nothing of what the route adds to others. */
  copyPreflight(facts: ResponseFacts): Buffer {
    const length = this.compose(facts, 200, 0, 0, 0, 0, 0);
    return Buffer.from(this.path.core.bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + length));
  }

  writeCopied(bytes: Buffer): void {
    const first = bytes.subarray(0, EMBEDDER_SCRATCH_BYTES);
    this.path.core.bytes.set(first, EMBEDDER_SCRATCH);
    this.restLength = 0;
    this.sendReply(first.length, bytes.subarray(first.length));
  }

  private head(facts: ResponseFacts, out: number, capacity: number): number {
    const { listenerRecord, policy, serviceTimeMs, attempts } = facts;
    const flags = this.flags(facts);
    const { core } = this.path;
    const { i32 } = core;
    i32[SET_COOKIES >> 2] = attempts.madeCookies;
    i32[SET_COOKIES_CONNECTION >> 2] = this.client.record;
    putSharing(this.path, facts.sharing);
    putHeadLines(core, facts.headLines);
    return core.wasm.writeDownstreamHead(out, capacity, listenerRecord, policy, flags, serviceTimeMs, attempts.count);
  }

  private composeFromTable(facts: ResponseFacts): number {
    const { i32 } = this.path.core;
    return this.compose(
      facts,
      i32[ROUTE_STATUS >> 2]!,
      i32[ROUTE_BODY_OFFSET >> 2]!,
      i32[ROUTE_BODY_LENGTH >> 2]!,
      i32[ROUTE_LOCATION_OFFSET >> 2]!,
      i32[ROUTE_LOCATION_LENGTH >> 2]!,
    );
  }

  /** Puts an answer into the scratch memory, a long body apart; its length there, or 0 where its head exceeds its room. */
  private compose(
    facts: ResponseFacts,
    status: number,
    body: number,
    bodyLength: number,
    location: number,
    locationLength: number,
    policy = facts.policy,
  ): number {
    const { core } = this.path;
    putSharing(this.path, facts.sharing);
    putHeadLines(core, facts.headLines);
    const flags = this.flags(facts);
    const write = (how: number, length: number): number =>
      core.wasm.writeLocalReply(
        EMBEDDER_SCRATCH,
        EMBEDDER_SCRATCH_BYTES,
        facts.listenerRecord,
        policy,
        how,
        status,
        body,
        length,
        location,
        locationLength,
      );
    this.restLength = 0;
    let length = write(flags, bodyLength);
    if (length === 0 && bodyLength > 0) {
      // The text is part of the head.
      if ((flags & DOWNSTREAM_GRPC) !== 0 || facts.web !== null) {
        length = write(flags, Math.min(bodyLength, MAX_MESSAGE_BYTES)) || write(flags, 0);
      } else {
        length = write(flags | DOWNSTREAM_HEAD, bodyLength);
        this.restAddress = body;
        this.restLength = length === 0 ? 0 : bodyLength;
      }
    }
    if (length === 0) {
      this.path.log('error', 'a local answer exceeds its room', {
        listener: this.client.chain.listenerName,
        bodyLength,
      });
      return 0;
    }
    if (facts.web === null) return length;
    const answer = core.bytes.subarray(EMBEDDER_SCRATCH, EMBEDDER_SCRATCH + length);
    return core.bytes.write(facts.web.translateReply(core, answer, status), EMBEDDER_SCRATCH, 'latin1');
  }

  /** Sends the answer that is in the scratch memory, and what of it is elsewhere; returns its length. */
  private sendReply(length: number, more?: Buffer): number {
    if (length === 0) {
      this.client.abort();
      return 0;
    }
    this.log?.noteResponse(EMBEDDER_SCRATCH, length);
    const { writer } = this.client;
    writer.writeCopy(EMBEDDER_SCRATCH, length);
    const { restAddress, restLength } = this;
    if (restLength > 0) writer.writeCopy(restAddress, restLength);
    if (more !== undefined && more.length > 0) writer.writeBuffer(more);
    writer.endMessage();
    return length + restLength;
  }

  /** The client is told to leave where its connection will not be used again. */
  private flags(facts: ResponseFacts): number {
    return this.client.closing ? facts.downstreamFlags | DOWNSTREAM_CLOSE : facts.downstreamFlags;
  }
}
