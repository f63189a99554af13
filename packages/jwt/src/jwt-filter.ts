// Tokens: the filter for one request: refused, let through with its head changed, or a signature has to be checked first.

import { type JwtRefusal, type JwtStatus, refusalDetails, refusalStatus, STATUS_TEXT } from './jwt-status.js';
import type { JsonFields, ParsedToken } from './parse-token.js';
import type { RequestHead } from './request-head.js';
import {
  type Provider,
  type Requirement,
  RequirementCheck,
  SignatureNeeded,
  type UncheckedSignature,
} from './requirement.js';
import { TokenLocations } from './token-locations.js';
import type { TokenVerifier } from './token-verifier.js';

/** The first rule whose path matches says what is required. */
export interface JwtRule {
  readonly path: { readonly kind: 'prefix' | 'exact' | 'separatedPrefix'; readonly value: string };
  readonly caseSensitive: boolean;
  readonly requirement: Requirement;
}

/** Counters of one listener's filter, which only grow. */
export interface JwtCounts {
  readonly statPrefix: string;
  allowed: number;
  denied: number;
  corsPreflightBypassed: number;
  cacheHits: number;
  cacheMisses: number;
}

/** At zero. */
export function createTokenCounts(statPrefix: string): JwtCounts {
  return { statPrefix, allowed: 0, denied: 0, corsPreflightBypassed: 0, cacheHits: 0, cacheMisses: 0 };
}

export interface Refused {
  readonly kind: 'refused';
  readonly refusal: JwtRefusal;
  readonly status: 401 | 403;
  readonly body: string;
  readonly details: string;
  /** Value of `www-authenticate`; empty: none. */
  readonly challenge: string;
  /** Names of the providers whose tokens were bad. */
  readonly failed: readonly string[];
}

export interface Admitted {
  readonly kind: 'admitted';
  /** As it goes on; `changed` says whether it is another than it was. */
  readonly head: RequestHead;
  readonly reroute: boolean;
  readonly metadata: ReadonlyMap<string, JsonFields>;
  /** Good tokens, each with the name of its provider. */
  readonly accepted: readonly { readonly provider: string; readonly token: ParsedToken }[];
}

export type JwtDecision = Refused | Admitted;

/** Signatures that were checked for the request at hand: the token, or why it is bad. */
export type CheckedSignatures = Map<string, ParsedToken | JwtRefusal>;

/** A request that is being decided. */
export interface JwtRequest {
  readonly head: RequestHead;
  /** Without the query. */
  readonly path: string;
  readonly nowMs: number;
  readonly checked: CheckedSignatures;
}

export class JwtFilter {
  /** Headers that only good tokens set, whichever provider's they are. */
  readonly #outputs: TokenLocations;

  constructor(
    readonly providers: readonly Provider[],
    private readonly rules: readonly JwtRule[],
    private readonly options: { readonly bypassCorsPreflight: boolean; readonly stripFailureResponse: boolean },
    readonly counts: JwtCounts,
  ) {
    this.#outputs = new TokenLocations(providers.map(({ config }) => config));
  }

  /** Decides where all signatures that matter are known, else says which one to check first; the head is then of no use. */
  decide(request: JwtRequest, verifier: TokenVerifier): JwtDecision | UncheckedSignature {
    const { head, path } = request;
    // Unlike Envoy, which takes away only those of the providers that it comes to: who believes a header believes it always.
    this.#outputs.sanitize(head);
    if (this.options.bypassCorsPreflight && isPreflight(head)) {
      this.counts.corsPreflightBypassed++;
      return this.#admit(head);
    }
    const rule = this.rules.find((each) => matches(each, path));
    if (rule === undefined) return this.#admit(head);
    const { status, check } = this.#check(request, rule, verifier, true);
    if (typeof status === 'object') return status;
    return status === 'ok' ? this.#admit(head, check) : this.#refuse(head, status, check);
  }

  /** Checks signatures until `decide` can answer, beginning with the one that it named; never rejects. */
  async settle(request: JwtRequest, verifier: TokenVerifier, first: UncheckedSignature): Promise<void> {
    const { head, path, checked } = request;
    const rule = this.rules.find((each) => matches(each, path));
    for (let next = first; rule !== undefined; ) {
      const { provider, token, parsed } = next;
      this.counts.cacheMisses++;
      const status = await verifier.verify(provider.keys, token, parsed);
      checked.set(signatureKey(provider, token), status === 'ok' ? parsed : status);
      const after = this.#check({ ...request, head: head.fresh() }, rule, verifier, false).status;
      if (typeof after !== 'object') return;
      next = after;
    }
  }

  #check(
    { head, nowMs, checked }: JwtRequest,
    rule: JwtRule,
    verifier: TokenVerifier,
    counts: boolean,
  ): { readonly status: JwtStatus | UncheckedSignature; readonly check: RequirementCheck } {
    const check = new RequirementCheck(head, this.providers, Math.floor(nowMs / 1000), (provider, token) => {
      const own = checked.get(signatureKey(provider, token));
      if (own !== undefined) return own;
      const remembered = verifier.remembered(provider.keys, token);
      if (counts && remembered !== undefined) this.counts.cacheHits++;
      return remembered;
    });
    try {
      return { status: check.decide(rule.requirement), check };
    } catch (error) {
      if (error instanceof SignatureNeeded) return { status: error.unchecked, check };
      throw error;
    }
  }

  #admit(head: RequestHead, check?: RequirementCheck): Admitted {
    this.counts.allowed++;
    return {
      kind: 'admitted',
      head,
      reroute: check?.reroute ?? false,
      metadata: check?.metadata ?? new Map(),
      accepted: check?.accepted ?? [],
    };
  }

  #refuse(head: RequestHead, refusal: JwtRefusal, { failed }: RequirementCheck): Refused {
    this.counts.denied++;
    const strip = this.options.stripFailureResponse;
    const error = refusal === 'missing' ? '' : ', error="invalid_token"';
    return {
      kind: 'refused',
      refusal,
      status: refusalStatus(refusal),
      body: strip ? '' : STATUS_TEXT[refusal],
      details: refusalDetails(refusal),
      challenge: strip ? '' : `Bearer realm="${head.realm}"${error}`,
      failed: failed.filter(({ status }) => status === refusal).map(({ provider }) => provider),
    };
  }
}

/** Under which a checked signature is known. */
export function signatureKey({ keys }: Provider, token: string): string {
  return `${keys.id}.${token}`;
}

function isPreflight(head: RequestHead): boolean {
  const has = (name: string) => (head.values(name)[0] ?? '') !== '';
  return head.method === 'OPTIONS' && has('origin') && has('access-control-request-method');
}

function matches({ path: { kind, value }, caseSensitive }: JwtRule, path: string): boolean {
  const [given, wanted] = caseSensitive ? [path, value] : [path.toLowerCase(), value.toLowerCase()];
  if (kind === 'exact') return given === wanted;
  if (!given.startsWith(wanted)) return false;
  return kind === 'prefix' || given.length === wanted.length || given[wanted.length] === '/';
}
