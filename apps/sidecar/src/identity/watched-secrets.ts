// Identity: certificates that stand in a TLS context itself and whose files are followed are secrets as well: these are the
// names that they have, the same for the same files.

import { createHash } from 'node:crypto';
import { toBinary } from '@bufbuild/protobuf';
import {
  type CertificateValidationContext,
  CertificateValidationContextSchema,
  type TlsCertificate,
  TlsCertificateSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';

/** Undefined where the files are read once, as Envoy does without `watched_directory`. */
export function watchedCertificateName(certificate: TlsCertificate): string | undefined {
  if (certificate.watchedDirectory === undefined) return undefined;
  return `files:${digest(toBinary(TlsCertificateSchema, certificate))}`;
}

/** As `watchedCertificateName`, for the trust roots of a validation context. */
export function watchedRootsName(context: CertificateValidationContext): string | undefined {
  if (context.watchedDirectory === undefined || context.trustedCa === undefined) return undefined;
  return `files:${digest(toBinary(CertificateValidationContextSchema, context))}`;
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 32);
}
