// Resource validation: TLS contexts and secrets.

import type { CertificateValidationContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { Secret } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import type { CommonTlsContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { readSecret, readTlsCertificate, readTrustedCa } from '../read-secret.js';
import { checkConfigSource, checkExists, type ProblemCollector } from './field-checks.js';

export interface TlsRequirements {
  readonly certificateRequired: boolean;
  readonly validationRequired: boolean;
}

export function checkCommonTlsContext(
  context: CommonTlsContext | undefined,
  path: string,
  out: ProblemCollector,
  requirements: TlsRequirements,
): void {
  if (context === undefined) {
    if (requirements.certificateRequired) out.add(path, 'a certificate is required');
    return;
  }
  const certificates = context.tlsCertificates.length + context.tlsCertificateSdsSecretConfigs.length;
  if (requirements.certificateRequired && certificates === 0) {
    out.add(path, 'needs `tls_certificates` or `tls_certificate_sds_secret_configs`');
  }
  if (certificates > 1 && !requirements.certificateRequired) {
    out.add(path, 'more than one certificate of a client is not supported');
  }
  context.tlsCertificates.forEach((certificate, index) => {
    const { watchedDirectory } = certificate;
    if (watchedDirectory === undefined) return;
    const at = `${path}.tls_certificates[${index}]`;
    checkExists(watchedDirectory.path, `${at}.watched_directory.path`, out);
    readTlsCertificate(certificate, at, (field, message) => out.add(field, message));
  });
  context.tlsCertificateSdsSecretConfigs.forEach((config, index) => {
    const at = `${path}.tls_certificate_sds_secret_configs[${index}]`;
    checkSdsConfig(config, at, out);
  });
  const { validationContextType: validation } = context;
  switch (validation.case) {
    case 'validationContext':
      checkValidationContext(validation.value, `${path}.validation_context`, out);
      break;
    case 'validationContextSdsSecretConfig':
      checkSdsConfig(validation.value, `${path}.validation_context_sds_secret_config`, out);
      break;
    case 'combinedValidationContext': {
      const at = `${path}.combined_validation_context`;
      const { defaultValidationContext, validationContextSdsSecretConfig } = validation.value;
      if (defaultValidationContext === undefined) out.add(`${at}.default_validation_context`, 'is required');
      else checkValidationContext(defaultValidationContext, `${at}.default_validation_context`, out, false);
      if (validationContextSdsSecretConfig === undefined) {
        out.add(`${at}.validation_context_sds_secret_config`, 'is required');
      } else checkSdsConfig(validationContextSdsSecretConfig, `${at}.validation_context_sds_secret_config`, out);
      break;
    }
    default:
      if (requirements.validationRequired) {
        out.add(path, 'a client certificate is required, but no validation context says which ones to trust');
      }
  }
}

function checkSdsConfig(
  config: { readonly name: string; readonly sdsConfig?: Parameters<typeof checkConfigSource>[0] },
  path: string,
  out: ProblemCollector,
): void {
  if (config.name === '') out.add(`${path}.name`, 'is required');
  // Without a source the name stands for a static secret.
  if (config.sdsConfig !== undefined)
    checkConfigSource(config.sdsConfig, `${path}.sds_config`, out, { localSds: true });
}

function checkValidationContext(
  context: CertificateValidationContext,
  path: string,
  out: ProblemCollector,
  caRequired = true,
): void {
  const { watchedDirectory, trustedCa } = context;
  if (watchedDirectory !== undefined) {
    checkExists(watchedDirectory.path, `${path}.watched_directory.path`, out);
    if (trustedCa !== undefined) readTrustedCa(context, path, (field, message) => out.add(field, message));
  }
  const names = context.matchTypedSubjectAltNames.length + context.matchSubjectAltNames.length;
  if (caRequired && names > 0 && context.trustedCa === undefined) {
    out.add(`${path}.trusted_ca`, 'is required: names of a certificate that is not verified mean nothing');
  }
}

/** A secret must be usable: the PEM parses, and key and certificate belong together. */
export function validateSecret(secret: Secret, out: ProblemCollector): void {
  if (secret.name === '') out.add('name', 'is required');
  if (secret.type.case === undefined) {
    out.add('', 'needs `tls_certificate` or `validation_context`');
    return;
  }
  // Other kinds were reported as not supported.
  if (secret.type.case !== 'tlsCertificate' && secret.type.case !== 'validationContext') return;
  const { watchedDirectory } = secret.type.value;
  if (watchedDirectory !== undefined) {
    const field = secret.type.case === 'tlsCertificate' ? 'tls_certificate' : 'validation_context';
    checkExists(watchedDirectory.path, `${field}.watched_directory.path`, out);
  }
  readSecret(secret, (path, message) => out.add(path, message));
}
