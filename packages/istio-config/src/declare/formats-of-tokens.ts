// Declarations: the formats of strings that tell where tokens and their keys are.
import { claimPath } from './claim-path.js';
import type { FormatFault, StringFormat } from './scalars.js';

const HEADER = /^[-_A-Za-z0-9]+$/;
/** Parameters that a public or secret key of a type must have (RFC 7517, RFC 7518 section 6, RFC 8037). */
const KEY_PARAMETERS: Readonly<Record<string, readonly string[]>> = {
  RSA: ['n', 'e'],
  EC: ['crv', 'x', 'y'],
  OKP: ['crv', 'x'],
  oct: ['k'],
};

/** A header name as Istio takes it for claims and probes: letters, digits, `-` and `_`. */
export const tokenHeaderName: StringFormat = (value) =>
  value === '' || HEADER.test(value)
    ? undefined
    : { code: 'header-name', text: `\`${value}\` is not a header name; write letters, digits, \`-\` and \`_\`` };

/** The name of a claim: `a`, a nested one `a.b` or `[a][b]`. */
export const claimName: StringFormat = (value) =>
  claimPath(value.startsWith('[') ? value : `.${value}`) === undefined
    ? {
        code: 'claim-name',
        text: `\`${value}\` is not the name of a claim; write one such as sub, realm.roles or [a.b][c]`,
      }
    : undefined;

/** Where keys are fetched: http or https. */
export const jwksAddress: StringFormat = (value) => {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const isHttp = (url?.protocol === 'http:' || url?.protocol === 'https:') && /^https?:\/\//.test(value);
  if (isHttp && url.hostname !== '') return undefined;
  return {
    code: 'url',
    text: `\`${value}\` is not an http or https address; write one such as https://example.com/keys`,
  };
};

/** Keys as JSON: a set of keys, or one key (RFC 7517). */
export const jsonWebKeySet: StringFormat = (value) => {
  // Istio takes an empty string for none.
  if (value === '') return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return wrongKeys('is not JSON');
  }
  if (!isObject(parsed)) return wrongKeys('is not a JSON object');
  if (!('keys' in parsed)) {
    return (
      keyFault(parsed, 'the key') ?? (canCheck(parsed) ? undefined : wrongKeys('has no key that can check a token'))
    );
  }
  if (!Array.isArray(parsed.keys) || parsed.keys.length === 0) return wrongKeys('has no list of keys');
  for (const [index, key] of parsed.keys.entries()) {
    const fault = keyFault(key, `key ${index}`);
    if (fault) return fault;
  }
  if (!parsed.keys.some(canCheck))
    return wrongKeys('has no key that can check a token (RSA, P-256, P-384, P-521, Ed25519, oct)');
  return undefined;
};

/** Curves for which there is no algorithm of tokens, or none that proxies know, are of no use. */
function canCheck(key: { readonly kty?: unknown; readonly crv?: unknown }): boolean {
  if (key.kty === 'EC') return ['P-256', 'P-384', 'P-521'].includes(String(key.crv));
  return key.kty !== 'OKP' || key.crv === 'Ed25519';
}

function keyFault(key: unknown, name: string): FormatFault {
  if (!isObject(key) || typeof key.kty !== 'string') return wrongKeys(`has no \`kty\` in ${name}`);
  const wanted = Object.hasOwn(KEY_PARAMETERS, key.kty) ? KEY_PARAMETERS[key.kty] : undefined;
  if (!wanted) return wrongKeys(`has the unknown type \`${key.kty.slice(0, 32)}\` in ${name}`);
  const missing = wanted.find((parameter) => typeof key[parameter] !== 'string' || key[parameter] === '');
  return missing === undefined ? undefined : wrongKeys(`has no \`${missing}\` in ${name}`);
}

function wrongKeys(what: string): FormatFault {
  return { code: 'jwks', text: `the key set ${what}; write the JSON of the issuer's key set, {"keys": [...]}` };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
