// Read: what the filter for tokens makes of a request: refused, or let through with its head changed and its claims known.

import { encodeClaims } from '@lateen/filters-wasm';
import {
  type CheckedSignatures,
  compileJwtFilter,
  createTokenCounts,
  RequestHead,
  TokenVerifier,
  type UncheckedSignature,
} from '@lateen/jwt';
import type { ProxyView } from '@lateen/translate';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type JwtAuthentication,
  JwtAuthenticationSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import type { Decision } from '../decide/decision.js';
import type { Because } from '../explanation.js';
import { because, type Places, positionText } from '../places/places.js';

/** Tokens are good at a time, by signatures that somebody has checked. */
export interface KnownTokens {
  readonly nowMs: number;
  readonly checked: CheckedSignatures;
}

/** The answer depends on a signature that nobody has checked yet. */
export class SignatureUnknownError extends Error {
  constructor(readonly unchecked: UncheckedSignature) {
    super('the signature of a token is not checked yet');
  }
}

/** A request that arrives at a proxy. */
export interface TokenRequest {
  readonly view: ProxyView;
  readonly manager: HttpConnectionManager;
  readonly head: string;
  readonly secure: boolean;
}

export interface TokenAnswer {
  /** The proxy answers by itself. */
  readonly refused: { readonly status: number; readonly body: string } | undefined;
  /** As the request goes on. */
  readonly head: string;
  readonly claims: readonly Buffer[];
  readonly because: readonly Because[];
  readonly notes: readonly string[];
}

/** After `parse()`; without the filter nothing changes. @throws SignatureUnknownError */
export function readTokens(decision: Decision, places: Places, known: KnownTokens, request: TokenRequest): TokenAnswer {
  const { manager, view, head: text, secure } = request;
  const config = tokenFilter(manager);
  if (config === undefined) return { refused: undefined, head: text, claims: [], because: [], notes: [] };
  const problem = (path: string, message: string): never => {
    throw new Error(`${path} ${message}`);
  };
  const filter = compileJwtFilter(config, { counts: createTokenCounts(''), problem });
  const head = new RequestHead({
    text,
    method: text.slice(0, text.indexOf(' ')),
    scheme: secure ? 'https' : 'http',
    authority: decision.header('host') ?? '',
    path: decision.path,
    isHidden: () => false,
  });
  const path = decision.path.split('?')[0] ?? '';
  const answer = filter.decide({ head, path, ...known }, new TokenVerifier());
  if ('parsed' in answer) throw new SignatureUnknownError(answer);
  const reasonOf = (provider: string): Because | undefined => {
    const { rule } = view.scope.tokenRules[Number(provider.split('-')[1])] ?? {};
    const place = places.of(rule);
    return place && because(place, 'tokens');
  };
  const written = (reason: Because | undefined) =>
    reason === undefined ? '' : ` (${reason.kind} ${positionText(reason)})`;
  if (answer.kind === 'refused') {
    const reasons = answer.failed.map(reasonOf);
    const notes = [`the token is refused with ${answer.status}: ${answer.body}${written(reasons[0])}`];
    return { refused: answer, head: text, claims: [], because: present(reasons), notes };
  }
  const reasons = answer.accepted.map(({ provider }) => reasonOf(provider));
  const notes = answer.accepted.map(({ token }, index) => {
    const { sub } = token.payload;
    return `the token of ${token.issuer}${typeof sub === 'string' ? ` for ${sub}` : ''} is good${written(reasons[index])}`;
  });
  const claims = [...answer.metadata].flatMap(([name, payload]) => encodeClaims(name, payload) ?? []);
  return {
    refused: undefined,
    head: answer.head.changed ? answer.head.text() : text,
    claims,
    because: present(reasons),
    notes,
  };
}

function present(reasons: readonly (Because | undefined)[]): Because[] {
  return reasons.filter((reason) => reason !== undefined);
}

function tokenFilter({ httpFilters }: HttpConnectionManager): JwtAuthentication | undefined {
  for (const { disabled, configType } of httpFilters) {
    if (disabled || configType.case !== 'typedConfig' || !anyIs(configType.value, JwtAuthenticationSchema)) continue;
    return unpackAny(configType.value, JwtAuthenticationSchema);
  }
  return undefined;
}
