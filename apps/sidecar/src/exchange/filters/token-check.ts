// Exchange: checks the tokens of a request (jwt_authn): at once where they are known, else while the request is held back.

import * as L from '@lateen/filters-wasm';
import {
  type Admitted,
  type CheckedSignatures,
  type JsonFields,
  type JwtDecision,
  type JwtFilter,
  type Refused,
  RequestHead,
} from '@lateen/jwt';
import type { DataPath } from '../../transport/data-path.js';
import type { ExchangeClient } from '../exchange-client.js';
import type { LocalReply } from '../local-reply.js';

/** The request that waits. */
export interface TokenBearer {
  /** Signatures have been checked: `restore` and `decide` again. */
  onTokensChecked(): void;
}

const TOO_MANY_CLAIMS = 'Jwt payload is too large';

/** What a refused request is answered with, in Envoy's words. */
export function tokenRefusal({ status, body, details }: Refused): LocalReply {
  return { status, flags: 0, body, details };
}

/** A token claims more than there is room for. */
export const CLAIMS_TOO_LARGE: LocalReply = {
  status: 401,
  flags: 0,
  body: TOO_MANY_CLAIMS,
  details: `jwt_authn_access_denied{${TOO_MANY_CLAIMS.replaceAll(' ', '_')}}`,
};

/** What was encoded of a payload; the payload of a remembered token is the same object each time. */
const encoded = new WeakMap<JsonFields, { readonly name: string; readonly bytes: Buffer | undefined }>();

function encodedClaims(name: string, payload: JsonFields): Buffer | undefined {
  const known = encoded.get(payload);
  if (known?.name === name) return known.bytes;
  const bytes = L.encodeClaims(name, payload);
  encoded.set(payload, { name, bytes });
  return bytes;
}

/** A claim as an access log shows it. @param name `envoy.filters.http.jwt_authn:PAYLOAD:CLAIM`, and the claims within it */
export function claimText(payloads: ReadonlyMap<string, JsonFields>, name: string): string | undefined {
  const [filter, payload = '', ...claims] = name.split(':');
  let value: unknown = filter === L.JWT_METADATA ? payloads.get(payload) : undefined;
  for (const claim of claims) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, claim)) return undefined;
    value = (value as Readonly<Record<string, unknown>>)[claim];
  }
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** One for each exchange whose chain checks tokens, used again for each of its requests. */
export class TokenCheck {
  private checked: CheckedSignatures = new Map();
  private head: Buffer | null = null;
  private body: Buffer[] = [];
  /** The request waits: its body is kept here. */
  holding = false;
  /** Of the request at hand: what is found for an older one concerns nobody any more. */
  private current = 0;

  constructor(
    private readonly path: DataPath,
    private readonly bearer: TokenBearer,
  ) {}

  /** REQ_* is filled. Null: the request must be held back until `onTokensChecked`. */
  decide(filter: JwtFilter, client: ExchangeClient): JwtDecision | null {
    const { core, tokens } = this.path;
    const head = new RequestHead(headSource(core, client));
    const path = core.text(core.i32[L.REQ_PATH_OFFSET >> 2]!, core.i32[L.REQ_PATH_ONLY_LENGTH >> 2]!);
    const request = { head, path, nowMs: Date.now(), checked: this.checked };
    const decision = filter.decide(request, tokens);
    if (!('parsed' in decision)) {
      if (this.checked.size > 0) this.checked = new Map();
      return decision;
    }
    this.head = headBytes(core);
    this.holding = true;
    const mine = ++this.current;
    filter.settle({ ...request, head: head.fresh() }, tokens, decision).then(() => {
      if (mine === this.current) this.bearer.onTokensChecked();
    });
    return null;
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.current++;
    this.head = null;
    this.body = [];
    this.holding = false;
    this.checked = new Map();
  }

  /** A piece of the body of a request that is held back; the first may be empty. */
  holdBody(address: number, length: number): void {
    if (length > 0 || this.body.length === 0) {
      this.body.push(Buffer.from(this.path.core.bytes.subarray(address, address + length)));
    }
  }

  /** What was kept of the body, at least one piece. */
  takeBody(): readonly Buffer[] {
    const { body } = this;
    this.body = [];
    this.holding = false;
    return body;
  }

  /** Fills REQ_* with the request that was held back; the length of its head. */
  restore(listenerRecord: number, connection: number): number {
    const { core } = this.path;
    const head = this.head ?? Buffer.alloc(0);
    this.head = null;
    core.bytes.set(head, L.EDITED_HEAD);
    return core.wasm.parseRequest(L.EDITED_HEAD, head.length, 0, listenerRecord, connection);
  }

  /** Fills REQ_* with the head as the filter has changed it: its length, or 0 where it is too long. */
  rewrite({ head }: Admitted, listenerRecord: number, connection: number): number {
    const { core } = this.path;
    const text = head.text();
    if (text.length > L.MAX_HEAD_BYTES) return 0;
    const length = core.bytes.write(text, L.EDITED_HEAD, 'latin1');
    return Math.max(0, core.wasm.parseRequest(L.EDITED_HEAD, length, 0, listenerRecord, connection));
  }

  /** What the tokens claim, for the decisions that follow; false where there is no room for it. */
  putClaims({ metadata }: Admitted): boolean {
    const claims: Buffer[] = [];
    for (const [name, payload] of metadata) {
      const bytes = encodedClaims(name, payload);
      if (bytes === undefined) return false;
      claims.push(bytes);
    }
    return L.putClaims(this.path.core, claims);
  }
}

/** REQ_* is filled: the head as the client sent it, or as filters have changed it. */
export function headBytes({ bytes, i32 }: L.Core): Buffer {
  const start = i32[L.REQ_HEAD_OFFSET >> 2]!;
  return Buffer.from(bytes.subarray(start, bytes.indexOf('\r\n\r\n', start, 'latin1') + 4));
}

/** REQ_* is filled. */
export function headSource(core: L.Core, { secure }: ExchangeClient): ConstructorParameters<typeof RequestHead>[0] {
  const { i32 } = core;
  const text = (offset: number, length: number) => core.text(i32[offset >> 2]!, i32[length >> 2]!);
  const forwarded = core.requestHeader('x-forwarded-proto');
  const scheme = secure === 1 ? 'https' : 'http';
  return {
    text: headBytes(core).toString('latin1'),
    method: text(L.REQ_METHOD_OFFSET, L.REQ_METHOD_LENGTH),
    scheme: forwarded === 'http' || forwarded === 'https' ? forwarded : scheme,
    authority: text(L.REQ_AUTHORITY_OFFSET, L.REQ_AUTHORITY_LENGTH),
    path: text(L.REQ_PATH_OFFSET, L.REQ_PATH_LENGTH),
    isHidden: (index) => {
      if (index >= i32[L.REQ_HEADER_COUNT >> 2]!) return true;
      const entry = L.REQ_HEADERS + index * L.HEADER_ENTRY_BYTES;
      return (i32[(entry + L.HEADER_FLAGS) >> 2]! & L.HEADER_FLAG_DROPPED) !== 0;
    },
  };
}
