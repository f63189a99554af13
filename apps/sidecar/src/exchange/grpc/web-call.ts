// gRPC-Web: one call, translated to gRPC and its answer back, as Envoy's filter does: content types, base64, trailers as a frame.

import * as L from '@lateen/filters-wasm';
import { inChunk, LAST_CHUNK } from '../../codec/chunk-framing.js';
import type { MessageWriter } from '../../codec/message-writer.js';
import { headerValue } from '../access-log-entry.js';
import { BAD_BASE64, CUT_BASE64, type LocalReply } from '../local-reply.js';
import type { GrpcMessages } from './grpc-messages.js';
import { changeHead, grpcMessage, headLength, isGrpc, isWebBinary } from './head-text.js';
import { TextReader, TextWriter } from './web-text.js';

const BINARY_TYPES: readonly string[] = ['application/grpc-web', 'application/grpc-web+proto'];
const TEXT_TYPES: readonly string[] = ['application/grpc-web-text', 'application/grpc-web-text+proto'];
const FRAMING = ['content-length', 'transfer-encoding'] as const;
const CHUNKED = 'transfer-encoding: chunked';
/** Envoy's flag of a frame that has trailers. */
const TRAILERS_FLAG = 0x80;
const FRAME_HEAD_BYTES = 5;
/** So much of an answer that is not gRPC is told as the message; encoded it may be three times as long. */
const MAX_PLAIN_BYTES = 16_384;

const NOTHING = Buffer.alloc(0);

/** Who takes a request's body. */
interface BodyTaker {
  addBody(address: number, length: number): void;
}

/** What is known of the call whose answer is translated. */
interface AnsweredCall {
  readonly method: number;
  readonly listenerRecord: number;
  readonly status: number;
}

/** Lives as long as the call: made for those calls alone that are gRPC-Web. */
export class WebCall {
  private readonly reader: TextReader | null;
  private readonly writer: TextWriter | null;
  private readonly answerType: string;
  private hasBody = false;
  /** State of the chunk scanner; 0 where the request's body is not chunked. */
  private chunkState = 0;
  /** Head of an answer that is not gRPC, and what is here of its body; null for others. */
  private plainHead: string | null = null;
  private plainBody: Buffer = NOTHING;
  /** The answer has a body that the client takes as it comes. */
  private framesAnswer = false;
  requestMessages: GrpcMessages | null = null;
  responseMessages: GrpcMessages | null = null;

  private constructor(
    isText: boolean,
    wantsText: boolean,
    /** In which mode the client takes bodies without a length. */
    readonly chunkMode: number,
  ) {
    this.reader = isText ? new TextReader() : null;
    this.writer = wantsText ? new TextWriter() : null;
    this.answerType = wantsText ? 'application/grpc-web-text+proto' : 'application/grpc-web+proto';
  }

  /** REQ_* is filled: the call where it is one of gRPC-Web, else null. */
  static of(core: L.Core, chunkMode: number): WebCall | null {
    const head = requestHead(core);
    const type = headerValue(head, 'content-type') ?? '';
    const isText = TEXT_TYPES.includes(type);
    if (!isText && !BINARY_TYPES.includes(type)) return null;
    return new WebCall(isText, TEXT_TYPES.includes(headerValue(head, 'accept') ?? ''), chunkMode);
  }

  // ---- Request ---------------------------------------------------------------------------------------------------------

  /** Fills REQ_* with the head as gRPC has it. Its length; not positive where it has no room. */
  translateRequest(core: L.Core, listenerRecord: number, connection: number): number {
    const head = requestHead(core);
    const kind = core.i32[L.REQ_BODY >> 2]!;
    if (kind === L.BODY_CHUNKED) {
      this.chunkState = core.chunkStates.take();
      if (this.chunkState === 0) return -1;
      core.wasm.resetChunks(this.chunkState, L.CHUNK_MODE_DATA);
    }
    const added = ['content-type: application/grpc'];
    if (headerValue(head, 'grpc-accept-encoding') === undefined) added.push('grpc-accept-encoding: identity');
    this.hasBody = kind !== L.BODY_NONE;
    if (this.hasBody) added.push(CHUNKED);
    // Chunks are of HTTP/1.1.
    const text = changeHead(head, ['content-type', ...FRAMING], added).replace(/^(.*) HTTP\/1\.0\r/, '$1 HTTP/1.1\r');
    if (text.length > L.MAX_HEAD_BYTES) return -1;
    const length = core.bytes.write(text, L.H2_HEAD_BUFFER, 'latin1');
    return core.wasm.parseRequest(L.H2_HEAD_BUFFER, length, 0, listenerRecord, connection);
  }

  /** Bytes of the body, with the framing that the client's head said, go on as gRPC has them; false where they are no base64. */
  passRequest(core: L.Core, address: number, length: number, isEnd: boolean, to: BodyTaker): boolean {
    if (!this.hasBody) return true;
    let count = length;
    if (this.chunkState !== 0) {
      core.wasm.scanChunks(this.chunkState, address, length);
      count = core.i32[(this.chunkState + L.CHUNK_FORWARD) >> 2]!;
    }
    const given = core.bytes.subarray(address, address + count);
    const body = this.reader === null ? Buffer.from(given) : this.reader.add(given, isEnd);
    if (body === null) return false;
    this.requestMessages?.add(body, 0, body.length);
    const bytes = Buffer.concat([body.length === 0 ? body : inChunk(body), isEnd ? LAST_CHUNK : NOTHING]);
    for (let at = 0; at < bytes.length; at += L.EMBEDDER_SCRATCH_BYTES) {
      const piece = bytes.subarray(at, at + L.EMBEDDER_SCRATCH_BYTES);
      core.bytes.set(piece, L.EMBEDDER_SCRATCH);
      to.addBody(L.EMBEDDER_SCRATCH, piece.length);
    }
    return true;
  }

  /** What is answered where a request's body is no base64. */
  get refusal(): LocalReply {
    return this.reader?.isCut === true ? CUT_BASE64 : BAD_BASE64;
  }

  // ---- Answer ----------------------------------------------------------------------------------------------------------

  /** RESP_* is filled: fills it with the head as gRPC-Web has it, unless that must wait for the body (`holdsHead`). False: no room. */
  translateAnswer(core: L.Core, call: AnsweredCall): boolean {
    const head = core.text(core.i32[L.RESP_HEAD_OFFSET >> 2]!, core.i32[L.RESP_HEAD_LENGTH >> 2]!);
    const hasBody = core.i32[L.RESP_BODY >> 2] !== L.BODY_NONE;
    const type = headerValue(head, 'content-type') ?? '';
    const isAnswer = (core.i32[L.RESP_STATUS >> 2] === 200 && isGrpc(type)) || isWebBinary(type);
    const added = [`content-type: ${this.answerType}`];
    this.framesAnswer = hasBody && isAnswer;
    if (this.framesAnswer) added.push(CHUNKED);
    const text = changeHead(head, ['content-type', ...FRAMING], added).replace(/^HTTP\/1\.0/, 'HTTP/1.1');
    this.plainHead = null;
    if (hasBody && !isAnswer) {
      this.plainHead = text;
      // Its final form has room at least without the message.
      return putPlain(core, text, NOTHING, core.i32[L.RESP_STATUS >> 2]!, call);
    }
    return putAnswer(core, text, call, hasBody ? 0 : L.RESPONSE_TO_ENDED);
  }

  /** The head is written when all of the answer is here. */
  get holdsHead(): boolean {
    return this.plainHead !== null;
  }

  /** Bytes of the answer's body, without framing, go to the client as it has them; how many they became, its framing apart. */
  passAnswer(core: L.Core, address: number, length: number, to: MessageWriter): number {
    const bytes = core.bytes.subarray(address, address + length);
    if (this.plainHead !== null) {
      const room = MAX_PLAIN_BYTES - this.plainBody.length;
      if (room > 0) this.plainBody = Buffer.concat([this.plainBody, bytes.subarray(0, room)]);
      return 0;
    }
    this.responseMessages?.add(bytes, 0, length);
    return this.write(this.writer === null ? Buffer.from(bytes) : this.writer.add(bytes), to);
  }

  /** Trailers, header lines: as the last frame of the body. */
  passTrailers(lines: string, to: MessageWriter): number {
    if (this.plainHead !== null) return 0;
    const text = Buffer.from(lines.replaceAll(/^([^:\r\n]+):[ \t]*/gm, '$1:'), 'latin1');
    const head = Buffer.alloc(FRAME_HEAD_BYTES);
    head[0] = TRAILERS_FLAG;
    head.writeUInt32BE(text.length, 1);
    const frame = Buffer.concat([head, text]);
    return this.write(this.writer === null ? frame : Buffer.from(frame.toString('base64'), 'latin1'), to);
  }

  private write(bytes: Buffer, to: MessageWriter): number {
    if (bytes.length > 0) to.writeBuffer(this.chunkMode === L.CHUNK_MODE_FRAMED ? inChunk(bytes) : bytes);
    return bytes.length;
  }

  /** All of an answer that is not gRPC is here: fills RESP_* with a head that says it in gRPC's words; its status there. */
  completeHead(core: L.Core, call: AnsweredCall): number {
    const head = this.plainHead ?? '';
    this.plainHead = null;
    // A long message makes the head too long: then it goes without.
    if (!putPlain(core, head, this.plainBody, call.status, call)) putPlain(core, head, NOTHING, call.status, call);
    return core.wasm.grpcStatusOf(call.status);
  }

  /** The answer is complete: what ends it on the client's connection. */
  endAnswer(to: MessageWriter): void {
    if (this.framesAnswer && this.chunkMode === L.CHUNK_MODE_FRAMED) to.writeBuffer(LAST_CHUNK);
  }

  /** A whole answer of our own, head and body: the same as gRPC-Web has it. */
  translateReply(core: L.Core, answer: Buffer, status: number): string {
    const text = answer.toString('latin1');
    const body = answer.subarray(headLength(text)).subarray(0, MAX_PLAIN_BYTES);
    const added = [`content-type: ${this.answerType}`];
    if (body.length === 0) return changeHead(text, ['content-type'], added);
    added.push(...plainLines(core.wasm.grpcStatusOf(status), body), 'content-length: 0');
    return changeHead(text, ['content-type', ...FRAMING], added);
  }

  /** The call has ended. */
  end(core: L.Core): void {
    if (this.chunkState !== 0) core.chunkStates.release(this.chunkState);
    this.chunkState = 0;
  }
}

function requestHead(core: L.Core): string {
  const text = core.text(core.i32[L.REQ_HEAD_OFFSET >> 2]!, core.i32[L.REQ_HEAD_LENGTH >> 2]!);
  return text.slice(0, headLength(text));
}

function plainLines(grpcStatus: number, body: Uint8Array): string[] {
  return [`grpc-message: ${grpcMessage(body)}`, `grpc-status: ${grpcStatus}`];
}

function putPlain(core: L.Core, head: string, body: Uint8Array, status: number, call: AnsweredCall): boolean {
  const lines = plainLines(core.wasm.grpcStatusOf(status), body);
  return putAnswer(core, changeHead(head, [], [...lines, 'content-length: 0']), call, 0);
}

/** Fills RESP_*; false where a head has become too large, or has too many lines. */
function putAnswer(core: L.Core, text: string, { method, listenerRecord }: AnsweredCall, context: number): boolean {
  if (text.length > L.MAX_HEAD_BYTES) return false;
  const length = core.bytes.write(text, L.H2_HEAD_BUFFER, 'latin1');
  return core.wasm.parseResponse(L.H2_HEAD_BUFFER, length, 0, method, context, listenerRecord) > 0;
}
