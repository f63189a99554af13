// Kubernetes Secrets: what gateways take as `credentialName`. No text of a problem ever holds a value, and no object does.
import type { z } from 'zod';
import type { FaultList } from '../declare/fault.js';
import { message, opaque } from '../declare/message.js';
import type { MeaningRule } from '../meaning/rule.js';
import type { FieldPath } from '../problem.js';

/** The fields of a Secret, which stand beside its metadata. Values are checked here and not by the schema, whose texts show them. */
export const secretBody = message('Secret', {
  type: opaque('What kind of Secret it is (default Opaque); kubernetes.io/tls has tls.crt and tls.key.'),
  data: opaque('Values in base64, by key.'),
  stringData: opaque('Values as they are, by key; they win over those of data.'),
  immutable: opaque('Whether it may change (default false).'),
});

export type SecretBody = z.infer<typeof secretBody>;

/** The fields of a Secret beside `apiVersion`, `kind` and `metadata`. */
export const SECRET_FIELDS: readonly string[] = Object.keys(secretBody.shape);

const KEY = /^[-._a-zA-Z0-9]{1,253}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** Limit of Kubernetes on all values together. */
const MAX_BYTES = 1024 * 1024;

/** What gateways of Istio read: certificate and key, in either naming. */
const PAIRS = [
  ['tls.crt', 'tls.key'],
  ['cert', 'key'],
] as const;
const CERTIFICATES: ReadonlySet<string> = new Set(['tls.crt', 'cert', 'ca.crt', 'cacert']);
const KEYS: ReadonlySet<string> = new Set(['tls.key', 'key']);

export const checkSecret: MeaningRule<SecretBody> = (body, faults) => {
  if ('type' in body && typeof body.type !== 'string') {
    faults.error(['type'], 'type', '`type` must be a string; write one such as Opaque');
  }
  if ('immutable' in body && typeof body.immutable !== 'boolean') {
    faults.error(['immutable'], 'type', '`immutable` must be true or false; write one');
  }
  const encoded = entriesOf(body.data, 'data', faults);
  const plain = entriesOf(body.stringData, 'stringData', faults);
  const values = new Map<string, string>();
  for (const [key, value] of encoded) {
    const decoded = decodeBase64(value);
    if (decoded === undefined) {
      faults.error(['data', key], 'format', 'the value is not base64; encode it, or write it in `stringData`');
    } else {
      values.set(key, decoded);
    }
  }
  for (const [key, value] of plain) {
    if (encoded.has(key)) {
      faults.warning(
        ['stringData', key],
        'duplicate',
        'the key is in `data` too, and this value wins; keep one',
        'key',
      );
    }
    values.set(key, value);
  }
  const bytes = [...values.values()].reduce((sum, value) => sum + value.length, 0);
  if (bytes > MAX_BYTES) {
    faults.error([], 'range', `the values have ${bytes} bytes, more than ${MAX_BYTES}; split the Secret`);
  }
  // A key whose value was wrong is there all the same.
  checkPairs(body, new Set([...Object.keys(body.data ?? {}), ...Object.keys(body.stringData ?? {})]), faults);
  for (const [key, value] of values) checkPem(key, value, plain.has(key) ? 'stringData' : 'data', faults);
};

/** The values that are strings. */
function entriesOf(map: unknown, field: string, faults: FaultList): Map<string, string> {
  const entries = new Map<string, string>();
  if (map === undefined || map === null) return entries;
  if (typeof map !== 'object' || Array.isArray(map)) {
    faults.error([field], 'type', `\`${field}\` must be a mapping from keys to values; write one`);
    return entries;
  }
  for (const [key, value] of Object.entries(map)) {
    const path: FieldPath = [field, key];
    if (!KEY.test(key)) {
      faults.error(
        path,
        'name',
        'the key has more than letters, digits, `-`, `_` and `.`, or is too long; rename it',
        'key',
      );
    }
    if (typeof value === 'string') entries.set(key, value);
    else faults.error(path, 'type', 'the value must be a string, but is another type; put it in quotes');
  }
  return entries;
}

/** The bytes as characters, or undefined where the text is not base64; line breaks in it do not count. */
function decodeBase64(value: string): string | undefined {
  const letters = value.replace(/[\r\n]/g, '');
  return BASE64.test(letters) ? atob(letters) : undefined;
}

function checkPairs({ type }: SecretBody, keys: ReadonlySet<string>, faults: FaultList): void {
  if (type === 'kubernetes.io/tls') {
    for (const key of PAIRS[0]) {
      if (keys.has(key)) continue;
      faults.error([], 'required', `\`${key}\` is required in \`data\` of a Secret of type ${type}; add it`);
    }
    return;
  }
  for (const [certificate, key] of PAIRS) {
    if (keys.has(certificate) === keys.has(key)) continue;
    const [has, lacks] = keys.has(certificate) ? [certificate, key] : [key, certificate];
    const message = `a gateway needs \`${lacks}\` beside \`${has}\`; add it where this is a \`credentialName\``;
    faults.warning([], 'required', message);
  }
}

/** Certificates and keys are PEM. */
function checkPem(key: string, value: string, field: string, faults: FaultList): void {
  const wanted = CERTIFICATES.has(key) ? 'CERTIFICATE' : KEYS.has(key) ? 'PRIVATE KEY' : undefined;
  if (wanted === undefined || new RegExp(`-----BEGIN [A-Z ]*${wanted}-----`).test(value)) return;
  const message = `the value has no PEM block of a ${wanted.toLowerCase()}; gateways cannot use it, so write one`;
  faults.warning([field, key], 'format', message);
}

/** What of a Secret an object keeps: its keys. The values stay in the file, so that no log or dump can show them. */
export function withoutValues(body: SecretBody): SecretBody {
  const hidden = (map: unknown) =>
    typeof map === 'object' && map !== null
      ? Object.fromEntries(Object.keys(map).map((key) => [key, '(hidden)']))
      : undefined;
  return {
    ...body,
    ...('data' in body && { data: hidden(body.data) }),
    ...('stringData' in body && { stringData: hidden(body.stringData) }),
  };
}

/** The values as they are, by key; those that are wrong are left out. For whoever keeps them safe, never for a log. */
export function decodedValues(body: SecretBody): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  const add = (map: unknown, decode: (value: string) => string | undefined) => {
    if (typeof map !== 'object' || map === null) return;
    for (const [key, value] of Object.entries(map)) {
      const decoded = typeof value === 'string' ? decode(value) : undefined;
      if (decoded !== undefined) values.set(key, decoded);
    }
  };
  add(body.data, decodeBase64);
  add(body.stringData, (value) => value);
  return values;
}
