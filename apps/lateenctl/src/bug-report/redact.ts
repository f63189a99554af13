// Bug report: takes secrets out of everything that goes into the archive: by the names of fields, then by what they look like.

export const REDACTED = '[redacted]';

/** Fields whose content is secret, wherever they stand. */
const SECRET_FIELDS: ReadonlySet<string> = new Set([
  'private_key',
  'privateKey',
  'password',
  'pkcs12',
  'session_ticket_keys',
  'stringData',
  'clientSecret',
  'client_secret',
]);
/** Values of environment variables with such names. */
const SECRET_NAME = /pass(word|wd|phrase)?|secret|token|credential|private|(?:^|[_-])(?:api|access)?_?key(?:$|[_-])/i;
/** Holds the whole object once more, as text. */
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** A copy of a JSON value without what is secret by its place: values of Secrets, private keys, passwords, variables. */
export function redactValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactValue);
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Record<string, unknown>;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(fields)) {
    if (key === LAST_APPLIED || key === 'managedFields') continue;
    if (SECRET_FIELDS.has(key) || isSecretContent(fields, key)) copy[key] = redactAll(item);
    else copy[key] = redactValue(item);
  }
  return copy;
}

/** `data` of a Secret; `value` of a variable whose name says what it holds. */
function isSecretContent(fields: Record<string, unknown>, key: string): boolean {
  if (key === 'data') return fields.kind === 'Secret';
  return key === 'value' && typeof fields.name === 'string' && SECRET_NAME.test(fields.name);
}

/** Which keys there are stays to be seen. */
function redactAll(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactAll);
  if (typeof value !== 'object' || value === null) return REDACTED;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, redactAll(item)]));
}

const PRIVATE_KEY =
  /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|(?:[A-Za-z0-9+/=]|\s|\\n)*)/g;
/** Of a text whose beginning was cut off. */
const END_OF_KEY = /(?:[A-Za-z0-9+/=]{8,}(?:\\n|\s)+)+-----END [A-Z ]*PRIVATE KEY-----/g;
/** PEM in base64, as Secrets and webhooks have it. */
const ENCODED_PEM = /LS0tLS1CRUdJTi[A-Za-z0-9+/=]+/g;
const WEB_TOKEN = /\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g;
const BEARER = /\b(Bearer\s+)[\w.~+/=-]{8,}/gi;
const AUTHORIZATION = /(authorization\\?["']?\s*[:=]\s*\\?["']?(?:Basic|Digest|Negotiate)?\s*)[\w.~+/=-]{8,}/gi;
const ASSIGNED =
  /\b((?:\w*[_-])?(?:password|passwd|secret|api[_-]?key|access[_-]?token|client[_-]?secret)\\?["']?\s*[=:]\s*\\?["']?)[^\s"'\\,;&]{4,}/gi;

/** A text without what looks like a private key, a token or a password. Certificates are public, and stay. */
export function redactText(text: string): string {
  return text
    .replace(PRIVATE_KEY, '[private key redacted]')
    .replace(END_OF_KEY, '[private key redacted]')
    .replace(ENCODED_PEM, (encoded) =>
      Buffer.from(encoded, 'base64').toString('latin1').includes('PRIVATE KEY') ? '[private key redacted]' : encoded,
    )
    .replace(WEB_TOKEN, '[token redacted]')
    .replace(BEARER, `$1${REDACTED}`)
    .replace(AUTHORIZATION, `$1${REDACTED}`)
    .replace(ASSIGNED, `$1${REDACTED}`);
}
