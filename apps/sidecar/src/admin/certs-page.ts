// Admin API: /certs, the certificates and trust roots in use, in the JSON form of envoy.admin.v3.Certificates.

import type { X509Certificate } from 'node:crypto';
import { readCertificates, readSubjectAltNames } from '@lateen/identity';
import type { TlsSecret } from '../data-plane.js';

const DAY_MS = 24 * 60 * 60 * 1000;

/** One entry for each certificate chain, with the trust roots of the same owner. */
export function certsJson(secrets: ReadonlyMap<string, TlsSecret>): unknown {
  const roots: unknown[] = [];
  const chains: { name: string; chain: unknown[] }[] = [];
  for (const [name, secret] of secrets) {
    if (secret.kind === 'validation') {
      roots.push(...readCertificates(secret.trustedCaPem).map((certificate) => details(certificate, name)));
    } else {
      const chain = readCertificates(secret.certificateChainPem).map((certificate) => details(certificate, name));
      chains.push({ name, chain });
    }
  }
  if (chains.length === 0) return { certificates: roots.length === 0 ? [] : [{ ca_cert: roots, cert_chain: [] }] };
  return { certificates: chains.map(({ chain }) => ({ ca_cert: roots, cert_chain: chain })) };
}

function details(certificate: X509Certificate, name: string): unknown {
  const expiresMs = Date.parse(certificate.validTo);
  const names = readSubjectAltNames(certificate.raw);
  return {
    path: `<sds: ${name}>`,
    serial_number: certificate.serialNumber.toLowerCase(),
    subject_alt_names: [...names.uris.map((uri) => ({ uri })), ...names.dnsNames.map((dns) => ({ dns }))],
    days_until_expiration: String(Math.max(0, Math.floor((expiresMs - Date.now()) / DAY_MS))),
    valid_from: new Date(certificate.validFrom).toISOString(),
    expiration_time: new Date(expiresMs).toISOString(),
  };
}
