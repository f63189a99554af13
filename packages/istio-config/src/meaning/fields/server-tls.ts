// Meaning of TLS on a port that is listened on (Gateway, Sidecar ingress).
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { ServerTlsSettings } from '../../kinds/fields/server.js';
import type { FieldPath } from '../../problem.js';
import { present } from '../rule.js';

const PASSES_THROUGH: ReadonlySet<string> = new Set(['PASSTHROUGH', 'AUTO_PASSTHROUGH']);
const BY_NAME = ['credentialName', 'credentialNames'] as const;
const BY_FILE = ['tlsCertificates', 'serverCertificate'] as const;
const CREDENTIALS = [...BY_NAME, ...BY_FILE, 'privateKey', 'caCertificates', 'caCertCredentialName'] as const;
const VERSIONS = ['TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'];

/** The suites that BoringSSL has (Envoy's TlsParameters), by its own names. */
const CIPHERS: ReadonlySet<string> = new Set([
  ...['ECDSA', 'RSA'].flatMap((key) =>
    ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305', 'AES128-SHA', 'AES256-SHA'].map(
      (suite) => `ECDHE-${key}-${suite}`,
    ),
  ),
  ...['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'AES128-SHA', 'AES256-SHA', 'DES-CBC3-SHA'],
]);

/** Whether TLS is passed on as it is, which is also what an absent mode means. */
export function passesThrough(tls: Loose<ServerTlsSettings>): boolean {
  return tls.mode === undefined ? !('mode' in tls) : PASSES_THROUGH.has(tls.mode);
}

/** Checks which fields a TLS mode needs, and which it does not take. */
export function checkServerTls(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  checkVersions(tls, path, faults);
  checkCipherSuites(tls, path, faults);
  checkCredentials(tls, path, faults);
  for (const [index, hash] of present(tls.verifyCertificateHash)) {
    if (/^[0-9a-f]{64}$/i.test(hash) || /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/i.test(hash)) continue;
    const message = `\`${hash}\` is not a SHA-256 in hex; write 64 hex digits`;
    faults.error([...path, 'verifyCertificateHash', index], 'format', message);
  }
}

function checkVersions(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  const { minProtocolVersion: min, maxProtocolVersion: max } = tls;
  const at = [...path, 'minProtocolVersion'];
  if (min && max && VERSIONS.includes(max) && VERSIONS.indexOf(min) > VERSIONS.indexOf(max)) {
    faults.error(at, 'range', `the least version ${min} is above the highest ${max}; swap them`);
  }
  if ((min === 'TLSV1_0' || min === 'TLSV1_1') && (tls.cipherSuites?.length ?? 0) === 0) {
    const message = `no suite that is on by itself works with ${min}; name some in \`cipherSuites\``;
    faults.warning(at, 'required', message);
  }
}

/** Checks a list `cipherSuites`. */
export function checkCipherSuites(
  { cipherSuites }: Pick<Loose<ServerTlsSettings>, 'cipherSuites'>,
  path: FieldPath,
  faults: FaultList,
): void {
  const seen = new Set<string>();
  for (const [index, suite] of present(cipherSuites)) {
    const at = [...path, 'cipherSuites', index];
    // What begins with a sign is an operator of BoringSSL's list.
    const isKnown = suite === '' || suite === 'ALL' || /^[^A-Za-z0-9]/.test(suite) || CIPHERS.has(suite);
    if (!isKnown) {
      const message = `\`${suite}\` is not a cipher suite that is known and is ignored; write one such as ECDHE-RSA-AES256-GCM-SHA384`;
      faults.warning(at, 'enum', message);
    } else if (seen.has(suite)) {
      faults.warning(at, 'duplicate', `cipher suite \`${suite}\` is there twice; keep one`);
    }
    seen.add(suite);
  }
}

function checkCredentials(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  const { mode } = tls;
  if (mode === 'ISTIO_MUTUAL') {
    for (const field of CREDENTIALS) {
      if (!(field in tls)) continue;
      faults.error([...path, field], 'one-of', `\`${field}\` has no place with mode ${mode}; remove it`, 'key');
    }
  } else if (passesThrough(tls)) {
    for (const field of [...CREDENTIALS, 'caCrl'] as const) {
      if (!(field in tls)) continue;
      const message = `\`${field}\` is ignored with mode ${mode ?? 'PASSTHROUGH (the default)'}; remove it`;
      faults.warning([...path, field], 'no-effect', message, 'key');
    }
  } else if (mode === 'SIMPLE' || mode === 'MUTUAL' || mode === 'OPTIONAL_MUTUAL') {
    checkOwnCertificate(tls, mode, path, faults);
  }
}

/** The port has one certificate, by name or by file; clients are checked with authorities. */
function checkOwnCertificate(tls: Loose<ServerTlsSettings>, mode: string, path: FieldPath, faults: FaultList): void {
  checkOneSource(tls, path, faults);
  if (BY_NAME.some((field) => field in tls)) return;
  const byFile = BY_FILE.find((field) => field in tls);
  if (byFile === undefined) {
    const message = `mode ${mode} needs a certificate; add \`credentialName\`, or \`serverCertificate\` and \`privateKey\``;
    faults.error(path, 'required', message);
  }
  if (byFile === 'serverCertificate' && !('privateKey' in tls)) {
    faults.error(path, 'required', `mode ${mode} needs \`privateKey\` beside \`serverCertificate\`; add it`);
  }
  if (mode !== 'SIMPLE' && byFile !== undefined && !('caCertificates' in tls) && !('caCertCredentialName' in tls)) {
    faults.error(path, 'required', `mode ${mode} needs \`caCertificates\` to check clients with; add it`);
  }
  if (mode === 'SIMPLE' && 'caCrl' in tls) {
    const message = '`caCrl` is for client certificates, and mode SIMPLE asks for none; remove it, or write MUTUAL';
    faults.error([...path, 'caCrl'], 'one-of', message, 'key');
  }
}

function checkOneSource(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  for (const [first, second] of [BY_NAME, BY_FILE]) {
    if (!(first in tls) || !(second in tls)) continue;
    const message = `\`${first}\` and \`${second}\` exclude each other; keep one`;
    faults.error([...path, second], 'one-of', message, 'key');
  }
  const byName = BY_NAME.find((field) => field in tls);
  for (const field of byName ? [...BY_FILE, 'privateKey' as const] : []) {
    if (!(field in tls)) continue;
    const message = `\`${field}\` is ignored, since \`${byName}\` is there; remove one of them`;
    faults.warning([...path, field], 'no-effect', message, 'key');
  }
}
