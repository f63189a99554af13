// Tokens: which tokens a request needs, decided as Envoy's filter does it, with all that this does to the request.

import type { JwtProvider } from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { claimAt, claimHeaderValue, withLists } from './claim-values.js';
import type { JwtRefusal, JwtStatus } from './jwt-status.js';
import type { KeySet } from './key-set.js';
import { type JsonFields, type ParsedToken, parseToken } from './parse-token.js';
import type { RequestHead } from './request-head.js';
import { type FoundToken, TokenLocations } from './token-locations.js';

/** An issuer, as configured. */
export interface Provider {
  readonly name: string;
  readonly config: JwtProvider;
  readonly keys: KeySet;
  readonly locations: TokenLocations;
  /** Payloads as metadata has them, so that one of a remembered token is the same object each time. */
  readonly payloads: WeakMap<JsonFields, JsonFields>;
}

/** What has to hold. */
export type Requirement =
  | { readonly kind: 'all' | 'any'; readonly of: readonly Requirement[] }
  /** `audiences` undefined: the provider's. */
  | { readonly kind: 'provider'; readonly provider: Provider; readonly audiences: readonly string[] | undefined }
  | { readonly kind: 'allowMissing' | 'allowMissingOrFailed' }
  | { readonly kind: 'nothing' };

/** A signature that has to be checked before there is an answer. */
export interface UncheckedSignature {
  readonly provider: Provider;
  readonly token: string;
  readonly parsed: ParsedToken;
}

/** Thrown, and caught, within this package: the decision cannot be made yet. */
export class SignatureNeeded extends Error {
  constructor(readonly unchecked: UncheckedSignature) {
    super('a signature is not checked yet');
  }
}

/** What is known of signatures; undefined: nothing yet. */
export type SignatureLookup = (provider: Provider, token: string) => ParsedToken | JwtRefusal | undefined;

/** One request on its way through the requirement: what is asked for changes its head. */
export class RequirementCheck {
  /** Payloads of good tokens, by the name that the provider gives to its metadata. */
  readonly metadata = new Map<string, JsonFields>();
  readonly accepted: { readonly provider: string; readonly token: ParsedToken }[] = [];
  readonly failed: { readonly provider: string; readonly status: JwtRefusal }[] = [];
  /** The route is to be chosen anew. */
  reroute = false;

  constructor(
    private readonly head: RequestHead,
    private readonly providers: readonly Provider[],
    private readonly nowS: number,
    private readonly lookup: SignatureLookup,
  ) {}

  /** @throws SignatureNeeded */
  decide(requirement: Requirement): JwtStatus {
    switch (requirement.kind) {
      case 'nothing':
        return 'ok';
      case 'all':
        return this.#all(requirement.of);
      case 'any':
        return this.#any(requirement.of);
      case 'provider':
        return this.#ofProvider(requirement.provider, requirement.audiences);
      case 'allowMissing':
        return this.#ofAnybody(false);
      case 'allowMissingOrFailed':
        return this.#ofAnybody(true);
    }
  }

  #all(parts: readonly Requirement[]): JwtStatus {
    for (const part of parts) {
      const status = this.decide(part);
      if (status !== 'ok') return status;
    }
    return 'ok';
  }

  /** A token that is bad says more than one that is missing, or of somebody else. */
  #any(parts: readonly Requirement[]): JwtStatus {
    const regular = parts.filter(({ kind }) => kind !== 'allowMissing' && kind !== 'allowMissingOrFailed');
    const allowFailed = parts.some(({ kind }) => kind === 'allowMissingOrFailed');
    const allowMissing = parts.some(({ kind }) => kind === 'allowMissing');
    if (regular.length === 0) return parts.length === 0 ? 'ok' : this.#ofAnybody(allowFailed);
    let final: JwtStatus = 'missing';
    for (const part of regular) {
      const status = this.decide(part);
      if (status === 'ok') return 'ok';
      if ((status !== 'missing' && status !== 'unknownIssuer') || final === 'missing') final = status;
    }
    return allowFailed || (allowMissing && final === 'missing') ? 'ok' : final;
  }

  /** All tokens at the places of the provider must be good, or one could stand in for another behind the proxy. */
  #ofProvider(provider: Provider, audiences: readonly string[] | undefined): JwtStatus {
    provider.locations.sanitize(this.head);
    const tokens = provider.locations.find(this.head);
    if (tokens.length === 0) return 'missing';
    for (const found of tokens.reverse()) {
      const status = this.#token(found, provider, audiences);
      if (status === 'ok') continue;
      this.failed.push({ provider: provider.name, status });
      return status;
    }
    return 'ok';
  }

  /** Tokens of all providers: none has to be there; `allowFailed`: nor to be good. The last one decides, as in Envoy. */
  #ofAnybody(allowFailed: boolean): JwtStatus {
    const locations = new TokenLocations(this.providers.map(({ config }) => config));
    locations.sanitize(this.head);
    let status: JwtStatus = 'ok';
    let failed: JwtStatus = 'ok';
    for (const found of locations.find(this.head).reverse()) {
      status = this.#token(found, undefined, undefined);
      if (status !== 'ok') failed = status;
    }
    // Unlike Envoy, which takes the last status alone: a bad token beside a good one is a bad one.
    return allowFailed ? 'ok' : failed;
  }

  #token(found: FoundToken, fixed: Provider | undefined, audiences: readonly string[] | undefined): JwtStatus {
    const { token } = found;
    const known = fixed === undefined ? undefined : this.lookup(fixed, token);
    const parsed = typeof known === 'object' ? known : parseToken(token);
    if (typeof parsed === 'string') return parsed;
    if (!found.allowsIssuer(parsed.issuer)) return 'unknownIssuer';
    const provider = fixed ?? this.#byIssuer(parsed.issuer);
    if (provider === undefined) return 'unknownIssuer';
    const untimely = this.#timeStatus(parsed, provider);
    if (untimely !== 'ok') return untimely;
    if (!isFor(parsed.audiences, audiences ?? provider.config.audiences)) return 'audience';
    const checked = known ?? this.lookup(provider, token);
    if (checked === undefined) throw new SignatureNeeded({ provider, token, parsed });
    if (typeof checked === 'string') return checked;
    this.#accept(found, provider, parsed);
    return 'ok';
  }

  #byIssuer(issuer: string): Provider | undefined {
    return (
      this.providers.find(({ config }) => config.issuer === issuer) ??
      this.providers.find(({ config }) => config.issuer === '')
    );
  }

  #timeStatus({ notBefore, expiresAt }: ParsedToken, { config }: Provider): JwtStatus {
    const skewS = config.clockSkewSeconds > 0 ? config.clockSkewSeconds : DEFAULT_CLOCK_SKEW_S;
    if (notBefore > 0 && this.nowS + skewS < notBefore) return 'notYetValid';
    return expiresAt > 0 && this.nowS > expiresAt + skewS ? 'expired' : 'ok';
  }

  #accept(found: FoundToken, { name, config, payloads }: Provider, parsed: ParsedToken): void {
    const { head } = this;
    this.accepted.push({ provider: name, token: parsed });
    if (config.forwardPayloadHeader !== '') {
      const padding = config.padForwardPayloadHeader ? '='.repeat((4 - (parsed.payloadText.length % 4)) % 4) : '';
      head.add(config.forwardPayloadHeader.toLowerCase(), parsed.payloadText + padding);
    }
    for (const { claimName, headerName } of config.claimToHeaders) {
      const value = claimHeaderValue(claimAt(parsed.payload, claimName));
      if (value !== '') head.add(headerName.toLowerCase(), value);
    }
    if (!config.forward) found.remove(head);
    if (config.clearRouteCache) this.reroute = true;
    if (config.headerInMetadata !== '') this.metadata.set(config.headerInMetadata, parsed.header);
    if (config.payloadInMetadata !== '') {
      const lists = config.normalizePayloadInMetadata?.spaceDelimitedClaims ?? [];
      const payload = payloads.get(parsed.payload) ?? withLists(parsed.payload, lists);
      payloads.set(parsed.payload, payload);
      this.metadata.set(config.payloadInMetadata, payload);
    }
  }
}

const DEFAULT_CLOCK_SKEW_S = 60;

/** Envoy compares audiences without their scheme and a slash at the end. */
function isFor(audiences: readonly string[], allowed: readonly string[]): boolean {
  if (allowed.length === 0) return true;
  const wanted = new Set(allowed.map(bareAudience));
  return audiences.some((audience) => wanted.has(bareAudience(audience)));
}

function bareAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, '').replace(/\/$/, '');
}
