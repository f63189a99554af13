// Reference: a stream of requests, read by the plain parser and by the core as a proxy would; for property tests and fuzzing.
import * as L from '../layout.js';
import { parseReferenceChunks } from './reference-chunks.js';
import { parseReferenceRequest } from './reference-head.js';
import { createTestCore } from './test-core.js';

const RULES = { normalize: true, mergeSlashes: false, escapedSlashes: 'keep' } as const;

/** What one side of a connection made of a stream. */
export interface StreamOutcome {
  readonly messages: { readonly method: string; readonly path: string; readonly body: string }[];
  /** The stream was refused; nothing after that is read. */
  readonly refused: boolean;
  /** The unfinished head at the end. */
  readonly unfinished: string;
}

export interface ReferenceOutcome extends StreamOutcome {
  /** How many of the messages a server answers: those up to the first that ends the connection. */
  readonly answered: number;
  /** Whether one of the messages ends the connection. */
  readonly closes: boolean;
  /** Method of what is refused or unfinished behind the messages, as far as it can be told: an answer to HEAD has no body. */
  readonly nextMethod: string;
}

/** What the plain reference parser makes of a stream. */
export function referenceOutcome(stream: string): ReferenceOutcome {
  const messages: StreamOutcome['messages'] = [];
  let beforeClose: number | undefined;
  let nextMethod = '';
  const outcome = (refused: boolean): ReferenceOutcome => ({
    messages,
    refused,
    unfinished: '',
    answered: beforeClose ?? messages.length,
    closes: beforeClose !== undefined,
    nextMethod,
  });
  let rest = stream;
  while (rest !== '') {
    nextMethod = /^[\r\n]*(HEAD) /.exec(rest)?.[1] ?? '';
    const head = parseReferenceRequest(rest, RULES);
    if (head.kind === 'incomplete') break;
    if (head.kind === 'refused') return outcome(true);
    nextMethod = head.method;
    rest = rest.slice(head.length);
    let body = '';
    if (head.body === 'length') {
      if (rest.length < head.contentLength) break;
      body = rest.slice(0, head.contentLength);
      rest = rest.slice(head.contentLength);
    } else if (head.body === 'chunked') {
      const chunks = parseReferenceChunks(rest);
      if (chunks.kind === 'incomplete') break;
      if (chunks.kind === 'refused') return outcome(true);
      body = chunks.payload;
      rest = rest.slice(chunks.length);
    }
    messages.push({ method: head.method, path: head.path, body });
    nextMethod = '';
    if (!head.keepAlive) beforeClose ??= messages.length;
  }
  return outcome(false);
}

/** A core of its own, and what it makes of the pieces of a stream (Latin-1 text). */
export function createStreamReader() {
  const { core, wasm, int, options, put, range } = createTestCore();
  /** Reads the pieces as a proxy would: stash an unfinished head, count or scan the body, go on with the rest. */
  const read = (pieces: readonly string[]): StreamOutcome => {
    const messages: StreamOutcome['messages'] = [];
    const listener = options();
    const state = core.chunkStates.take();
    let stash = '';
    let scanned = 0;
    let left = 0;
    let mode: 'head' | 'length' | 'chunked' = 'head';
    let current = { method: '', path: '', body: '' };
    const finish = () => {
      messages.push(current);
      mode = 'head';
    };
    try {
      for (const piece of pieces) {
        let bytes = stash + piece;
        stash = '';
        while (bytes !== '') {
          // Stale bytes that would end anything, after what was read.
          put(`${bytes}\r\n\r\n0\r\n\r\n`);
          if (mode === 'head') {
            const used = wasm.parseRequest(L.READ_BUFFER, bytes.length, scanned, listener, 0);
            if (used < 0) return { messages, refused: true, unfinished: '' };
            if (used === 0) {
              stash = bytes;
              scanned = bytes.length;
              break;
            }
            scanned = 0;
            bytes = bytes.slice(used);
            current = {
              method: range(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH),
              path: range(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH),
              body: '',
            };
            const body = int(L.REQ_BODY);
            if (body === L.BODY_NONE) finish();
            else if (body === L.BODY_LENGTH) {
              mode = 'length';
              left = core.f64[L.REQ_CONTENT_LENGTH >> 3]!;
            } else {
              mode = 'chunked';
              wasm.resetChunks(state, L.CHUNK_MODE_DATA);
            }
          } else if (mode === 'length') {
            const take = Math.min(left, bytes.length);
            current.body += bytes.slice(0, take);
            bytes = bytes.slice(take);
            left -= take;
            if (left === 0) finish();
          } else {
            const used = wasm.scanChunks(state, L.READ_BUFFER, bytes.length);
            if (used < 0) return { messages, refused: true, unfinished: '' };
            current.body += core.text(L.READ_BUFFER, int(state + L.CHUNK_FORWARD));
            bytes = bytes.slice(used);
            if (int(state + L.CHUNK_PHASE) === L.CHUNK_PHASE_DONE) finish();
          }
        }
      }
      return { messages, refused: false, unfinished: stash };
    } finally {
      core.chunkStates.release(state);
    }
  };
  return { core, read };
}
