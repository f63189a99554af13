// Transport: what a TLS context's configuration comes to once the secrets that it names are put in.

import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { SecureContextOptions, SecureVersion } from 'node:tls';
import type { DataSource } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type CertificateValidationContext,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { CommonTlsContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { watchedCertificateName, watchedRootsName } from '../identity/watched-secrets.js';
import { compileNameRules, type NameRules } from './peer-check.js';
import { type Certificate, readCertificate, type SecretStore } from './secret-store.js';

export type Problem = (path: string, message: string) => void;

/** A compiled CommonTlsContext. Secrets are looked up at each use, so that a renewal needs no new compilation. */
export interface TlsSettings {
  /** The peer's certificate is verified against a trust bundle. */
  readonly verifiesPeer: boolean;
  readonly nameRules: NameRules;
  readonly applicationProtocols: readonly string[];
  certificate(): Certificate | undefined;
  /** PEM of the trust bundle, `undefined` where the secret is not there (yet). */
  trustBundle(): string | undefined;
  /** Everything but key, certificate and bundle. */
  readonly contextOptions: SecureContextOptions;
}

const VERSIONS: Readonly<Partial<Record<TlsProtocol, SecureVersion>>> = {
  [TlsProtocol.TLSv1_2]: 'TLSv1.2',
  [TlsProtocol.TLSv1_3]: 'TLSv1.3',
};

/** @param path where the context stands, for problems */
export function compileTlsSettings(
  context: CommonTlsContext | undefined,
  secrets: SecretStore,
  problem: Problem,
): TlsSettings {
  const at: Problem = (path, message) => problem(`common_tls_context.${path}`, message);
  const certificate = compileCertificate(context, secrets, at);
  const validation = compileValidation(context, secrets, at);
  const params = context?.tlsParams;
  const ciphers = params?.cipherSuites ?? [];
  return {
    verifiesPeer: validation.verifies,
    nameRules: validation.rules,
    applicationProtocols: context?.alpnProtocols ?? [],
    certificate,
    trustBundle: validation.bundle,
    contextOptions: {
      // The peer is checked once a connection; a renegotiation could show another certificate. Envoy refuses it as well.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
      minVersion: VERSIONS[params?.tlsMinimumProtocolVersion ?? TlsProtocol.TLS_AUTO] ?? 'TLSv1.2',
      maxVersion: VERSIONS[params?.tlsMaximumProtocolVersion ?? TlsProtocol.TLS_AUTO] ?? 'TLSv1.3',
      // Envoy's list governs TLS 1.2 only; the TLS 1.3 suites are fixed there, so they stay in front here.
      ...(ciphers.length === 0
        ? {}
        : {
            ciphers: `TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:${ciphers.join(':')}`,
          }),
    },
  };
}

function compileCertificate(
  context: CommonTlsContext | undefined,
  secrets: SecretStore,
  problem: Problem,
): TlsSettings['certificate'] {
  const [sds] = context?.tlsCertificateSdsSecretConfigs ?? [];
  if (sds !== undefined) {
    const { name } = sds;
    return () => secrets.certificate(name);
  }
  const [inline] = context?.tlsCertificates ?? [];
  if (inline === undefined) return () => undefined;
  const watched = watchedCertificateName(inline);
  if (watched !== undefined) return () => secrets.certificate(watched);
  try {
    const certificate = readCertificate(readSource(inline.certificateChain), readSource(inline.privateKey));
    return () => certificate;
  } catch (error) {
    problem('tls_certificates[0]', (error as Error).message);
    return () => undefined;
  }
}

interface Validation {
  readonly verifies: boolean;
  readonly rules: NameRules;
  readonly bundle: () => string | undefined;
}

function compileValidation(context: CommonTlsContext | undefined, secrets: SecretStore, problem: Problem): Validation {
  const type = context?.validationContextType;
  switch (type?.case) {
    case 'validationContextSdsSecretConfig': {
      const { name } = type.value;
      return { verifies: true, rules: [], bundle: () => secrets.trustedCa(name) };
    }
    case 'combinedValidationContext': {
      const path = 'combined_validation_context.default_validation_context';
      const fallback = compileInline(type.value.defaultValidationContext, secrets, (at, message) =>
        problem(`${path}.${at}`, message),
      );
      const name = type.value.validationContextSdsSecretConfig?.name ?? '';
      return { verifies: true, rules: fallback.rules, bundle: () => secrets.trustedCa(name) ?? fallback.bundle() };
    }
    case 'validationContext':
      return compileInline(type.value, secrets, (at, message) => problem(`validation_context.${at}`, message));
    case undefined:
      return { verifies: false, rules: [], bundle: () => undefined };
    default:
      problem(type?.case ?? 'validation_context_type', 'is not supported');
      return { verifies: false, rules: [], bundle: () => undefined };
  }
}

function compileInline(
  context: CertificateValidationContext | undefined,
  secrets: SecretStore,
  problem: Problem,
): Validation {
  const rules = compileNameRules(context, problem);
  if (context?.trustedCa === undefined) return { verifies: rules.length > 0, rules, bundle: () => undefined };
  const watched = watchedRootsName(context);
  if (watched !== undefined) return { verifies: true, rules, bundle: () => secrets.trustedCa(watched) };
  try {
    const pem = readSource(context.trustedCa);
    return { verifies: true, rules, bundle: () => pem };
  } catch (error) {
    problem('trusted_ca', (error as Error).message);
    return { verifies: true, rules, bundle: () => undefined };
  }
}

/** @throws Error where the source is missing or cannot be read */
function readSource(source: DataSource | undefined): string {
  switch (source?.specifier.case) {
    case 'inlineString':
      return source.specifier.value;
    case 'inlineBytes':
      return Buffer.from(source.specifier.value).toString('utf8');
    case 'filename':
      return readFileSync(source.specifier.value, 'utf8');
    case 'environmentVariable': {
      const value = process.env[source.specifier.value];
      if (value === undefined) throw new Error(`environment variable ${source.specifier.value} is not set`);
      return value;
    }
    default:
      throw new Error('has no content');
  }
}
