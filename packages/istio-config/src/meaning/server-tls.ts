// Meaning of TLS on a port that is listened on (Gateway, Sidecar ingress).
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { ServerTlsSettings } from '../kinds/fields/server.js';
import type { FieldPath } from '../problem.js';
import { present } from './rule.js';

const PASSES_THROUGH: ReadonlySet<string> = new Set(['PASSTHROUGH', 'AUTO_PASSTHROUGH']);
const OWN_CREDENTIALS = ['credentialName', 'credentialNames', 'tlsCertificates', 'serverCertificate'] as const;
const CIPHER = /^[A-Z0-9][A-Z0-9_-]*$/;
const VERSIONS = ['TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3'];

/** Checks which fields a TLS mode needs, and which it does not take. */
export function checkServerTls(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  checkCredentials(tls, path, faults);
  const { minProtocolVersion: min, maxProtocolVersion: max } = tls;
  if (min && max && VERSIONS.includes(max) && VERSIONS.indexOf(min) > VERSIONS.indexOf(max)) {
    const message = `the least version ${min} is above the highest ${max}; swap them`;
    faults.error([...path, 'minProtocolVersion'], 'range', message);
  }
  const seen = new Set<string>();
  for (const [index, suite] of present(tls.cipherSuites)) {
    const at = [...path, 'cipherSuites', index];
    if (!CIPHER.test(suite)) {
      faults.error(at, 'enum', `\`${suite}\` is not a cipher suite; write one such as ECDHE-RSA-AES256-GCM-SHA384`);
    } else if (seen.has(suite)) {
      faults.warning(at, 'duplicate', `cipher suite \`${suite}\` is there twice; keep one`);
    }
    seen.add(suite);
  }
  for (const [index, hash] of present(tls.verifyCertificateHash)) {
    if (/^[0-9a-f]{64}$/i.test(hash) || /^([0-9a-f]{2}:){31}[0-9a-f]{2}$/i.test(hash)) continue;
    const message = `\`${hash}\` is not a SHA-256 in hex; write 64 hex digits`;
    faults.error([...path, 'verifyCertificateHash', index], 'format', message);
  }
}

function checkCredentials(tls: Loose<ServerTlsSettings>, path: FieldPath, faults: FaultList): void {
  const { mode } = tls;
  const [first, ...others] = OWN_CREDENTIALS.filter((field) => field in tls);
  for (const other of others) {
    faults.error([...path, other], 'one-of', `\`${first}\` and \`${other}\` exclude each other; keep one`, 'key');
  }
  if (mode === 'ISTIO_MUTUAL' || (mode && PASSES_THROUGH.has(mode))) {
    for (const field of [...OWN_CREDENTIALS, 'privateKey', 'caCertificates', 'caCertCredentialName'] as const) {
      if (!(field in tls)) continue;
      faults.error([...path, field], 'one-of', `\`${field}\` has no place with mode ${mode}; remove it`, 'key');
    }
    return;
  }
  if (mode !== 'SIMPLE' && mode !== 'MUTUAL' && mode !== 'OPTIONAL_MUTUAL') return;
  if (first === undefined) {
    const message = `mode ${mode} needs a certificate; add \`credentialName\`, or \`serverCertificate\` and \`privateKey\``;
    faults.error(path, 'required', message);
  }
  if (first === 'serverCertificate' && !('privateKey' in tls)) {
    faults.error(path, 'required', `mode ${mode} needs \`privateKey\` beside \`serverCertificate\`; add it`);
  }
  const byFile = first === 'serverCertificate' || first === 'tlsCertificates';
  if (mode !== 'SIMPLE' && byFile && !('caCertificates' in tls) && !('caCertCredentialName' in tls)) {
    faults.error(path, 'required', `mode ${mode} needs \`caCertificates\` to check clients with; add it`);
  }
}
