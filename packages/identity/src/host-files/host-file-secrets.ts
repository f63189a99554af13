// Host files: secrets whose SDS names say which files of this host they are, as Istio's agent serves them: `file-cert:CERT~KEY`
// and `file-root:FILE`, or `file-root:system` for the trust roots of the operating system.

import { existsSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { type DataSource, DataSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContextSchema,
  TlsCertificateSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

const CERTIFICATE = /^file-cert:(?<certificate>[^~]+)~(?<key>[^~]+)$/;
const ROOTS = /^file-root:(?<roots>.+)$/;
const SYSTEM = 'system';

/** Where operating systems keep the trust roots of their users, in the order in which Go's library looks. */
const SYSTEM_ROOTS = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/pki/tls/cacert.pem',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/cert.pem',
  '/usr/local/etc/openssl@3/cert.pem',
];

/** The file of the system's trust roots; `SSL_CERT_FILE` names another, as everywhere. */
export function systemRootsFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { SSL_CERT_FILE: named } = environment;
  return named || (SYSTEM_ROOTS.find((file) => existsSync(file)) ?? SYSTEM_ROOTS[0]!);
}

/** What a name stands for; undefined where it is not one of files. */
export function hostFileSecret(name: string): Secret['type'] | undefined {
  const { certificate, key } = CERTIFICATE.exec(name)?.groups ?? {};
  if (certificate !== undefined && key !== undefined) {
    const value = create(TlsCertificateSchema, { certificateChain: file(certificate), privateKey: file(key) });
    return { case: 'tlsCertificate', value };
  }
  const roots = ROOTS.exec(name)?.groups?.roots;
  if (roots === undefined) return undefined;
  const trustedCa = file(roots === SYSTEM ? systemRootsFile() : roots);
  return { case: 'validationContext', value: create(CertificateValidationContextSchema, { trustedCa }) };
}

function file(filename: string): DataSource {
  return create(DataSourceSchema, { specifier: { case: 'filename', value: filename } });
}
