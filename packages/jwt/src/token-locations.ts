// Tokens: where in a request those of an issuer may be, in Envoy's order.

import type { JwtProvider } from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import type { RequestHead } from './request-head.js';

/** A token that was found. */
export interface FoundToken {
  readonly token: string;
  /** Whether some issuer has said that its tokens are at this place. */
  allowsIssuer(issuer: string): boolean;
  /** Takes it out of the request. */
  remove(head: RequestHead): void;
}

interface Place {
  /** Issuers whose tokens may be here; an empty one stands for any. */
  readonly issuers: Set<string>;
}

interface HeaderPlace extends Place {
  readonly name: string;
  readonly prefix: string;
}

type LocatedProvider = Pick<JwtProvider, 'issuer' | 'fromHeaders' | 'fromParams' | 'fromCookies'> &
  Pick<JwtProvider, 'forwardPayloadHeader' | 'claimToHeaders'>;

const AFTER_PREFIX = /[A-Za-z0-9_.-]/;

export class TokenLocations {
  readonly #headers = new Map<string, HeaderPlace>();
  readonly #parameters = new Map<string, Place>();
  readonly #cookies = new Map<string, Place>();
  /** Headers that only a good token may set. */
  readonly #outputs = new Set<string>();

  constructor(providers: readonly LocatedProvider[]) {
    for (const provider of providers) this.#add(provider);
  }

  #add({ issuer, fromHeaders, fromParams, fromCookies, forwardPayloadHeader, claimToHeaders }: LocatedProvider): void {
    for (const { name, valuePrefix } of fromHeaders) this.#addHeader(issuer, name.toLowerCase(), valuePrefix);
    for (const name of fromParams) addPlace(this.#parameters, name, issuer);
    for (const name of fromCookies) addPlace(this.#cookies, name, issuer);
    if (fromHeaders.length + fromParams.length + fromCookies.length === 0) {
      this.#addHeader(issuer, 'authorization', 'Bearer ');
      addPlace(this.#parameters, 'access_token', issuer);
    }
    if (forwardPayloadHeader !== '') this.#outputs.add(forwardPayloadHeader.toLowerCase());
    for (const { headerName } of claimToHeaders) this.#outputs.add(headerName.toLowerCase());
  }

  #addHeader(issuer: string, name: string, prefix: string): void {
    const place = this.#headers.get(name + prefix) ?? { name, prefix, issuers: new Set<string>() };
    place.issuers.add(issuer);
    this.#headers.set(name + prefix, place);
  }

  /** Takes away what the client has put in place of a good token's outcome. */
  sanitize(head: RequestHead): void {
    for (const name of this.#outputs) head.remove(name);
  }

  /** All tokens, headers first, then parameters, then cookies. */
  find(head: RequestHead): FoundToken[] {
    const found: FoundToken[] = [];
    for (const { name, prefix, issuers } of inOrder(this.#headers)) {
      for (const value of valuesOf(head, name)) {
        const token = afterPrefix(value, prefix);
        if (token !== undefined) found.push(foundToken(token, issuers, (changed) => changed.remove(name)));
      }
    }
    if (this.#parameters.size > 0) {
      const parameters = head.parameters();
      for (const [name, { issuers }] of [...this.#parameters].sort(byName)) {
        const value = parameters.find(([each]) => each === name)?.[1];
        if (value !== undefined) found.push(foundToken(value, issuers, (changed) => changed.removeParameter(name)));
      }
    }
    for (const [name, { issuers }] of [...this.#cookies].sort(byName)) {
      const value = head.cookie(name);
      // As in Envoy, a cookie stays: it is the browser's, and goes to others too.
      if (value !== undefined) found.push(foundToken(value, issuers, () => {}));
    }
    return found;
  }
}

/** Envoy reads several lines of Authorization as one, which is no token then. */
function valuesOf(head: RequestHead, name: string): readonly string[] {
  const values = head.values(name);
  return name === 'authorization' && values.length > 1 ? [values.join(',')] : values;
}

function addPlace(places: Map<string, Place>, name: string, issuer: string): void {
  const place = places.get(name) ?? { issuers: new Set<string>() };
  place.issuers.add(issuer);
  places.set(name, place);
}

function byName([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

function inOrder(places: ReadonlyMap<string, HeaderPlace>): readonly HeaderPlace[] {
  return [...places].sort(byName).map(([, place]) => place);
}

function foundToken(token: string, issuers: ReadonlySet<string>, remove: FoundToken['remove']): FoundToken {
  return { token, allowsIssuer: (issuer) => issuers.has('') || issuers.has(issuer), remove };
}

/** The prefix may stand anywhere in the value, and what no token begins with after it is passed over, as in Envoy. */
function afterPrefix(value: string, prefix: string): string | undefined {
  if (prefix === '') return value;
  const at = value.indexOf(prefix);
  if (at < 0) return undefined;
  const rest = value.slice(at + prefix.length);
  const start = rest.search(AFTER_PREFIX);
  return start < 0 ? value : rest.slice(start);
}
