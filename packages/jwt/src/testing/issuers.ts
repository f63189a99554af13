// Tests: issuers with their keys, and requests that are asked of a filter.

import { generateKeyPairSync } from 'node:crypto';
import { fromEnvoyJson } from '@lateen/xds-proto';
import { JwtAuthenticationSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/jwt_authn/v3/config_pb.js';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { compileJwtFilter } from '../compile.js';
import { createTokenCounts, type JwtDecision, type JwtFilter } from '../jwt-filter.js';
import { RequestHead } from '../request-head.js';
import { TokenVerifier } from '../token-verifier.js';

export const NOW_S = 1_800_000_000;
export const ISSUER = 'https://issuer.example';

export interface Signer {
  readonly alg: string;
  readonly jwk: JWK;
  sign(claims: JWTPayload, header?: Record<string, unknown>): Promise<string>;
}

/** Making one takes long. */
const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 });

export async function signer(alg: string, kid: string, crv?: string, pair = rsaPair): Promise<Signer> {
  const { publicKey, privateKey } =
    alg[1] === 'S' && alg[0] !== 'E' ? pair : await generateKeyPair(alg, { extractable: true, ...(crv && { crv }) });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg };
  return {
    alg,
    jwk,
    sign: (claims, header = {}) =>
      new SignJWT({ iss: ISSUER, sub: 'me', ...claims }).setProtectedHeader({ alg, kid, ...header }).sign(privateKey),
  };
}

export const base64 = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** Keys of each kind, made once. */
export const [rsa, ec, ed] = await Promise.all([
  signer('RS256', 'r'),
  signer('ES256', 'e'),
  signer('EdDSA', 'd', 'Ed25519'),
]);

export interface FilterOptions {
  readonly keys?: readonly unknown[];
  readonly provider?: Record<string, unknown>;
  readonly more?: Record<string, Record<string, unknown>>;
  readonly requires?: Record<string, unknown>;
  readonly extra?: Record<string, unknown>;
}

const LENIENT = { requires_any: { requirements: [{ provider_name: 'p' }, { allow_missing: {} }] } };

export function filterOf({
  keys = [rsa.jwk, ec.jwk, ed.jwk],
  provider = {},
  more = {},
  requires = LENIENT,
  extra = {},
}: FilterOptions = {}) {
  const local = (set: readonly unknown[]) => ({ local_jwks: { inline_string: JSON.stringify({ keys: set }) } });
  const others = Object.entries(more).map(([name, other]) => [name, { ...local(keys), ...other }]);
  const config = fromEnvoyJson(JwtAuthenticationSchema, {
    providers: {
      p: { issuer: ISSUER, ...local(keys), payload_in_metadata: 'payload', ...provider },
      ...Object.fromEntries(others),
    },
    rules: [{ match: { prefix: '/' }, requires }],
    ...extra,
  });
  const problems: string[] = [];
  const filter = compileJwtFilter(config, {
    counts: createTokenCounts('test'),
    problem: (path, message) => problems.push(`${path} ${message}`),
  });
  if (problems.length > 0) throw new Error(problems.join('\n'));
  return filter;
}

/** As the proxy does, what a line of Connection names is hidden. */
export function headOf(lines: readonly string[], target = '/a', method = 'GET') {
  const nameOf = (line: string) => line.split(':', 1)[0]!.toLowerCase();
  const ofConnection = lines.filter((line) => nameOf(line) === 'connection');
  const named = ofConnection.flatMap((line) => line.slice(line.indexOf(':') + 1).split(','));
  const hidden = new Set(named.map((option) => option.trim().toLowerCase()));
  return new RequestHead({
    text: `${method} ${target} HTTP/1.1\r\n${['host: h', ...lines].join('\r\n')}\r\n\r\n`,
    method,
    scheme: 'http',
    authority: 'h',
    path: target,
    isHidden: (index) => index > 0 && hidden.has(nameOf(lines[index - 1] ?? '')),
  });
}

export async function ask(
  filter: JwtFilter,
  lines: readonly string[],
  { target = '/a', method = 'GET', nowS = NOW_S, verifier = new TokenVerifier() } = {},
): Promise<JwtDecision> {
  const make = () => ({
    head: headOf(lines, target, method),
    path: target.split('?')[0]!,
    nowMs: nowS * 1000,
    checked,
  });
  const checked = new Map();
  const first = filter.decide(make(), verifier);
  if (!('parsed' in first)) return first;
  await filter.settle(make(), verifier, first);
  const decision = filter.decide(make(), verifier);
  if ('parsed' in decision) throw new Error('still undecided');
  return decision;
}

export const bearer = (token: string) => [`authorization: Bearer ${token}`];

export async function outcome(filter: JwtFilter, lines: readonly string[], options = {}): Promise<string> {
  const decision = await ask(filter, lines, options);
  return decision.kind === 'admitted' ? 'ok' : `${decision.status} ${decision.body}`;
}

export function admittedHead(decision: JwtDecision): string[] {
  if (decision.kind !== 'admitted') throw new Error(`refused: ${decision.body}`);
  return decision.head.text().trimEnd().split('\r\n');
}
