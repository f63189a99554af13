// Secrets: from Envoy's messages to PEM, with a check that they can be used.

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { DataSource } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type {
  CertificateValidationContext,
  TlsCertificate,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { TlsSecret } from '../data-plane.js';

export type ReportProblem = (path: string, message: string) => void;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/**
 * The content of a data source as text. Files are read now; a relative name is relative to the working directory, as in
 * Envoy.
 * @returns undefined where it cannot be read, which was reported
 */
export function readDataSource(
  source: DataSource | undefined,
  path: string,
  report: ReportProblem,
): string | undefined {
  switch (source?.specifier.case) {
    case 'inlineString':
      return source.specifier.value;
    case 'inlineBytes':
      return Buffer.from(source.specifier.value).toString('utf8');
    case 'filename':
      try {
        return readFileSync(source.specifier.value, 'utf8');
      } catch (error) {
        report(`${path}.filename`, `cannot read ${source.specifier.value}: ${(error as Error).message}`);
        return undefined;
      }
    case 'environmentVariable': {
      const value = process.env[source.specifier.value];
      if (value === undefined) report(`${path}.environment_variable`, `${source.specifier.value} is not set`);
      return value;
    }
    default:
      report(path, 'is required');
      return undefined;
  }
}

/** Reads a secret; reports what makes it unusable and then returns undefined. */
export function readSecret(secret: Secret, report: ReportProblem): TlsSecret | undefined {
  if (secret.type.case === 'tlsCertificate') return readTlsCertificate(secret.type.value, 'tls_certificate', report);
  if (secret.type.case !== 'validationContext') return undefined;
  return readTrustedCa(secret.type.value, 'validation_context', report);
}

export function readTrustedCa(
  context: CertificateValidationContext,
  path: string,
  report: ReportProblem,
): TlsSecret | undefined {
  const trustedCaPem = readDataSource(context.trustedCa, `${path}.trusted_ca`, report);
  if (trustedCaPem === undefined) return undefined;
  const fault = faultOfCertificates(trustedCaPem);
  if (fault !== undefined) {
    report(`${path}.trusted_ca`, fault);
    return undefined;
  }
  if (context.crl === undefined) return { kind: 'validation', trustedCaPem };
  const crlPem = readDataSource(context.crl, `${path}.crl`, report);
  if (crlPem === undefined) return undefined;
  try {
    createSecureContext({ crl: crlPem });
  } catch {
    report(`${path}.crl`, 'is no list of revoked certificates in PEM form');
    return undefined;
  }
  return { kind: 'validation', trustedCaPem, crlPem };
}

export function readTlsCertificate(
  certificate: TlsCertificate,
  path: string,
  report: ReportProblem,
): TlsSecret | undefined {
  const certificateChainPem = readDataSource(certificate.certificateChain, `${path}.certificate_chain`, report);
  const privateKeyPem = readDataSource(certificate.privateKey, `${path}.private_key`, report);
  if (certificateChainPem === undefined || privateKeyPem === undefined) return undefined;
  const fault = faultOfCertificates(certificateChainPem);
  if (fault !== undefined) {
    report(`${path}.certificate_chain`, fault);
    return undefined;
  }
  try {
    const leaf = new X509Certificate(certificateChainPem);
    if (!leaf.checkPrivateKey(createPrivateKey(privateKeyPem))) {
      report(`${path}.private_key`, 'does not belong to the certificate');
      return undefined;
    }
  } catch {
    // The library's message could quote from the key.
    report(`${path}.private_key`, 'is not a private key in PEM form');
    return undefined;
  }
  return { kind: 'certificate', certificateChainPem, privateKeyPem };
}

/** What is wrong with a list of PEM certificates, or undefined. */
function faultOfCertificates(pem: string): string | undefined {
  const blocks = pem.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) return 'holds no certificate in PEM form';
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      return `certificate ${index + 1} does not parse: ${(error as Error).message}`;
    }
  }
  return undefined;
}
