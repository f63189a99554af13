// Resolve: which issuers' tokens a workload or gateway takes, from RequestAuthentication, and with which keys they are checked.

import { type ConfigObject, type JwtRule, parseDurationMs, selectorMatches } from '@lateen/istio-config';
import type { MeshSnapshot, Problem, StringMap } from '../../model.js';
import { configsOf } from '../../snapshot.js';
import { compareText } from '../../stable-hash.js';

/** A rule as it holds. */
export interface EffectiveTokenRule {
  readonly rule: JwtRule;
  /** `NAMESPACE/NAME` of the policy, and which of its rules. */
  readonly policy: string;
  readonly index: number;
  /** The issuer's keys as JSON; without any all of its tokens are refused. */
  readonly keys: string;
}

/** Where the keys of a rule come from: `address` is unique for what is fetched. */
export type KeySource =
  | { readonly kind: 'inline'; readonly keys: string }
  | { readonly kind: 'fetched'; readonly address: string; readonly timeoutMs: number };

/** Fetched by discovery (OpenID Connect): the issuer says where its keys are. */
const DISCOVERY = '/.well-known/openid-configuration';
/**
 * In place of keys that are not there, so that every token is refused and none is taken unchecked; a proxy refuses a set without
 * any. A point of the curve of which nobody knows the private key: SHA-256 of "lateen: an issuer without keys 2".
 */
const NO_KEYS =
  '{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"none","x":"gx_X197HsH7ed8tK1IFtmmLwgIlXtbLW6VMg4ILHvwI"}]}';
const DEFAULT_TIMEOUT_MS = 5_000;

/** Where the keys of a rule come from. */
export function keySourceOf({ jwks, jwksUri, jwks_uri: older, issuer = '', timeout }: JwtRule): KeySource {
  if (jwks !== undefined && jwks !== '') return { kind: 'inline', keys: asKeySet(jwks) };
  const address = jwksUri ?? older ?? `${issuer.replace(/\/$/, '')}${DISCOVERY}`;
  return { kind: 'fetched', address, timeoutMs: (timeout && parseDurationMs(timeout)) || DEFAULT_TIMEOUT_MS };
}

/** Whether the address is that of a document that says where the keys are. */
export function isDiscovery(address: string): boolean {
  return address.endsWith(DISCOVERY);
}

/** Istio takes a single key as well, which proxies do not. */
function asKeySet(text: string): string {
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === 'object' && parsed !== null && !('keys' in parsed)
    ? JSON.stringify({ keys: [parsed] })
    : text;
}

/** The rules of the proxy's namespace and of the root namespace, by issuer as in Istio; what is wrong with them is told. */
export function resolveTokenRules(
  snapshot: MeshSnapshot,
  client: { readonly namespace: string; readonly labels: StringMap },
): { readonly tokenRules: readonly EffectiveTokenRule[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const holding = configsOf(snapshot, 'RequestAuthentication').filter((policy) =>
    isFor(policy, snapshot.rootNamespace, client),
  );
  const tokenRules = holding.flatMap(({ metadata, spec }) =>
    (spec.jwtRules ?? []).map((rule, index): EffectiveTokenRule => {
      const source = keySourceOf(rule);
      const policy = `${metadata.namespace}/${metadata.name}`;
      if (source.kind === 'inline') return { rule, policy, index, keys: source.keys };
      const fetched = snapshot.tokenKeys[source.address];
      if (fetched?.keys === undefined) {
        problems.push({
          code: 'missing-token-keys',
          severity: 'warning',
          subject: `RequestAuthentication/${policy}`,
          message: `tokens of ${rule.issuer} are refused: there are no keys from ${source.address}${fetched?.problem === undefined ? ' yet' : `, ${fetched.problem}`}`,
        });
      }
      return { rule, policy, index, keys: fetched?.keys ?? NO_KEYS };
    }),
  );
  tokenRules.sort((a, b) => compareText(a.rule.issuer ?? '', b.rule.issuer ?? ''));
  return { tokenRules, problems };
}

function isFor(
  { metadata, spec }: ConfigObject<'RequestAuthentication'>,
  rootNamespace: string,
  client: { readonly namespace: string; readonly labels: StringMap },
): boolean {
  if (metadata.namespace !== client.namespace && metadata.namespace !== rootNamespace) return false;
  return selectorMatches(spec.selector?.matchLabels, client.labels);
}
