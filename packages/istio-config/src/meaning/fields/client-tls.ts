// Meaning of TLS toward a service.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { ClientTlsSettings } from '../../kinds/fields/traffic-policy.js';
import type { FieldPath } from '../../problem.js';

const FILES = ['clientCertificate', 'privateKey', 'caCertificates', 'caCrl'] as const;

/** Checks which fields a TLS mode needs, and which it does not take. */
export function checkClientTls(tls: Loose<ClientTlsSettings> | undefined, path: FieldPath, faults: FaultList): void {
  if (!tls) return;
  const { mode } = tls;
  if (mode === 'ISTIO_MUTUAL' || mode === 'DISABLE') {
    for (const field of [...FILES, 'credentialName'] as const) {
      if (!(field in tls)) continue;
      faults.warning([...path, field], 'no-effect', `\`${field}\` has no place with mode ${mode}; remove it`, 'key');
    }
    return;
  }
  if (mode !== 'SIMPLE' && mode !== 'MUTUAL') return;
  checkVerification(tls, path, faults);
  if (tls.credentialName) {
    for (const file of FILES) {
      if (!(file in tls)) continue;
      faults.error([...path, file], 'one-of', `\`credentialName\` and \`${file}\` exclude each other; keep one`, 'key');
    }
    return;
  }
  if (mode !== 'MUTUAL' || ('credentialName' in tls && tls.credentialName === undefined)) return;
  for (const file of ['clientCertificate', 'privateKey'] as const) {
    if (tls[file] || (file in tls && tls[file] === undefined)) continue;
    faults.error(path, 'required', `\`${file}\` (or \`credentialName\`) is required with mode MUTUAL; add it`);
  }
}

/** What says how to check the server makes no sense where it is not checked. */
function checkVerification(tls: Loose<ClientTlsSettings>, path: FieldPath, faults: FaultList): void {
  if (tls.insecureSkipVerify !== true) return;
  // With MUTUAL the credential holds the client's own certificate, so it may stand beside.
  const fields = ['caCertificates', 'subjectAltNames', ...(tls.mode === 'SIMPLE' ? (['credentialName'] as const) : [])];
  for (const field of fields) {
    if (!(field in tls)) continue;
    const message = `with \`insecureSkipVerify\` the server is not checked, so \`${field}\` has no place; keep one`;
    faults.error([...path, field], 'one-of', message, 'key');
  }
}
