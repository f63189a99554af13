// Upstream: one request of HTTP that the proxy makes by itself, such as a question to an authorizer.

import * as L from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import { type CallAddress, OwnCall } from './own-call.js';

/** What is sent: a head in the form of HTTP/1.1 that says the length of the body, and the body. */
export interface HttpQuestion {
  readonly method: string;
  readonly head: Buffer;
  readonly body: Buffer;
}

/** The whole answer. */
export interface HttpAnswer {
  readonly status: number;
  /** Header fields in their order, names in lower case, bytes as characters of Latin-1; without those of the connection. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

/** Exactly one of the two is called, unless the call was cancelled; it may be during `begin`. */
export interface HttpOutcome {
  onHttpAnswered(answer: HttpAnswer): void;
  onCallFailed(reason: string): void;
}

/** As Envoy's router, which its own calls go through as well. */
const SERVICE_TIME = 'x-envoy-upstream-service-time';

const METHODS: Readonly<Record<string, number>> = {
  GET: L.METHOD_GET,
  HEAD: L.METHOD_HEAD,
  POST: L.METHOD_POST,
  PUT: L.METHOD_PUT,
  DELETE: L.METHOD_DELETE,
  OPTIONS: L.METHOD_OPTIONS,
  PATCH: L.METHOD_PATCH,
  TRACE: L.METHOD_TRACE,
};

/** The core's number of a method by its name. */
export const methodOf = (name: string): number => METHODS[name] ?? L.METHOD_OTHER;

export class HttpCall extends OwnCall {
  readonly method: number;
  readonly http2 = false;
  readonly bodyChunked = false;
  readonly responseChunkMode = L.CHUNK_MODE_DATA;
  private startMs = 0;
  private headers: readonly (readonly [string, string])[] = [];

  constructor(
    path: DataPath,
    address: CallAddress,
    private readonly question: HttpQuestion,
    private readonly outcome: HttpOutcome,
  ) {
    super(path, address);
    this.method = methodOf(question.method);
  }

  protected request(): readonly Buffer[] {
    this.startMs = this.path.clock.nowMs;
    const { head, body } = this.question;
    return body.length === 0 ? [head] : [head, body];
  }

  protected noteHead(): number {
    const { core } = this.path;
    const { i32 } = core;
    const headers: (readonly [string, string])[] = [];
    for (let index = 0; index < i32[L.RESP_HEADER_COUNT >> 2]!; index++) {
      const entry = L.RESP_HEADERS + index * L.HEADER_ENTRY_BYTES;
      if ((i32[(entry + L.HEADER_FLAGS) >> 2]! & L.HEADER_FLAG_DROPPED) !== 0) continue;
      const text = (offset: number, length: number) =>
        core.text(i32[(entry + offset) >> 2]!, i32[(entry + length) >> 2]!);
      const name = text(L.HEADER_LINE_OFFSET, L.HEADER_NAME_LENGTH).toLowerCase();
      if (!L.isOwnHeader(name) && name !== SERVICE_TIME)
        headers.push([name, text(L.HEADER_VALUE_OFFSET, L.HEADER_VALUE_LENGTH)]);
    }
    headers.push([SERVICE_TIME, String(Math.round(this.path.clock.nowMs - this.startMs))]);
    this.headers = headers;
    return -1;
  }

  protected refusalOf(): undefined {
    return undefined;
  }

  protected answered(status: number, body: Buffer): void {
    this.outcome.onHttpAnswered({ status, headers: this.headers, body });
  }

  protected failed(reason: string): void {
    this.outcome.onCallFailed(reason);
  }
}
