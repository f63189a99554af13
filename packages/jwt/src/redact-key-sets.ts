// What is shown of key sets: the public part. Secrets of HMACs, and private parts that somebody has written into a set, are taken out.

const REDACTED = '[redacted]';
/** Private members of JSON web keys (RFC 7518, 6.2.2, 6.3.2 and 6.4). */
const PRIVATE_MEMBERS: ReadonlySet<string> = new Set(['k', 'd', 'p', 'q', 'dp', 'dq', 'qi', 'oth']);

/** A key set's text without private members; what is no key set is not shown at all. */
export function redactKeySet(text: string): string {
  try {
    return JSON.stringify(withoutPrivate(JSON.parse(text)));
  } catch {
    return REDACTED;
  }
}

function withoutPrivate(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPrivate);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [name, PRIVATE_MEMBERS.has(name) ? REDACTED : withoutPrivate(item)]),
  );
}

/** A copy of Envoy configuration as JSON in which every `local_jwks` is redacted. */
export function redactKeySets(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redactKeySets);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      name === 'local_jwks' ? redactSource(item) : redactKeySets(item),
    ]),
  );
}

/** A data source (envoy.config.core.v3.DataSource) of a key set. File names stay. */
export function redactSource(source: unknown): unknown {
  if (typeof source !== 'object' || source === null) return REDACTED;
  return Object.fromEntries(
    Object.entries(source).map(([name, item]) => {
      if (name === 'inline_string') return [name, redactKeySet(String(item))];
      if (name !== 'inline_bytes') return [name, item];
      const text = redactKeySet(Buffer.from(String(item), 'base64').toString('utf8'));
      return [name, Buffer.from(text).toString('base64')];
    }),
  );
}
