// Admin API: takes secrets out of what is shown. By field name, so that it also covers types that are added later.

import { redactSource } from '@lateen/jwt';

/** What Envoy shows in their place. */
const REDACTED = '[redacted]';
const REDACTED_BYTES = Buffer.from(REDACTED).toString('base64');

/** Data sources whose content is secret. */
const SECRET_SOURCES: ReadonlySet<string> = new Set([
  'private_key',
  'password',
  'pkcs12',
  'keys',
  'session_ticket_keys',
]);
/** Lists of headers that may carry tokens. */
const SECRET_HEADERS: ReadonlySet<string> = new Set(['initial_metadata']);

/** A copy of a JSON value without private keys, passwords, tokens and secrets of key sets. File names stay. */
export function redactSecrets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactSecrets);
  if (typeof value !== 'object' || value === null) return value;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (SECRET_SOURCES.has(key)) copy[key] = redactContent(item);
    else if (SECRET_HEADERS.has(key)) copy[key] = redactHeaders(item);
    else if (key === 'local_jwks') copy[key] = redactSource(item);
    else copy[key] = redactSecrets(item);
  }
  return copy;
}

function redactContent(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactContent);
  if (typeof value !== 'object' || value === null) return REDACTED;
  const copy: Record<string, unknown> = {};
  for (const [key, item] of Object.entries(value)) {
    if (key === 'inline_bytes') copy[key] = REDACTED_BYTES;
    else if (key === 'inline_string') copy[key] = REDACTED;
    else if (key === 'filename' || key === 'environment_variable') copy[key] = item;
    else copy[key] = redactContent(item);
  }
  return copy;
}

function redactHeaders(value: unknown): unknown {
  if (!Array.isArray(value)) return REDACTED;
  return value.map((header) =>
    typeof header === 'object' && header !== null && 'key' in header ? { key: header.key, value: REDACTED } : REDACTED,
  );
}
