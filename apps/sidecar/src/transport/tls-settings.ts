// Transport: what a TLS context's configuration comes to once the secrets that it names are put in.

import { constants } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type SecureVersion } from 'node:tls';
import type { DataSource } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  type CertificateValidationContext,
  type TlsParameters,
  TlsParameters_TlsProtocol as TlsProtocol,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { CommonTlsContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { watchedCertificateName, watchedRootsName } from '../identity/watched-secrets.js';
import { type CertificatePins, compileNameRules, compilePins, type NameRules, NO_PINS } from './peer-check.js';
import { type Certificate, readCertificate, type SecretStore } from './secret-store.js';

export type Problem = (path: string, message: string) => void;

/** A compiled CommonTlsContext. Secrets are looked up at each use, so that a renewal needs no new compilation. */
export interface TlsSettings {
  /** The peer's certificate is verified against a trust bundle. */
  readonly verifiesPeer: boolean;
  readonly nameRules: NameRules;
  readonly applicationProtocols: readonly string[];
  readonly pins: CertificatePins;
  /** Of which the first that the peer can use is shown; undefined while one of the secrets is not there. */
  certificates(): readonly Certificate[] | undefined;
  /** PEM of the trust bundle, `undefined` where the secret is not there (yet). */
  trustBundle(): string | undefined;
  /** PEM of what is revoked, `undefined` where nothing is. */
  revocations(): string | undefined;
  /** Which secret is not there (yet); undefined where all are. */
  faultOfSecrets(): string | undefined;
  /** Everything but key, certificate and bundle. */
  readonly contextOptions: SecureContextOptions;
}

const VERSIONS: Readonly<Partial<Record<TlsProtocol, SecureVersion>>> = {
  [TlsProtocol.TLSv1_0]: 'TLSv1',
  [TlsProtocol.TLSv1_1]: 'TLSv1.1',
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
  const certificates = compileCertificates(context, secrets, at);
  const showsCertificate =
    (context?.tlsCertificates.length ?? 0) + (context?.tlsCertificateSdsSecretConfigs.length ?? 0) > 0;
  const validation = compileValidation(context, secrets, at);
  return {
    verifiesPeer: validation.verifies,
    nameRules: validation.rules,
    applicationProtocols: context?.alpnProtocols ?? [],
    pins: validation.pins,
    certificates,
    trustBundle: validation.bundle,
    revocations: validation.revocations,
    faultOfSecrets: () => {
      if (showsCertificate && certificates() === undefined) return 'there is no certificate yet';
      if (validation.verifies && validation.bundle() === undefined) return 'there is no trust bundle yet';
      return undefined;
    },
    contextOptions: compileParameters(context?.tlsParams, at),
  };
}

/** Envoy's suites of TLS 1.3 are fixed, its list governs TLS 1.2 only; so they stay in front here. */
const TLS13_SUITES = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
const OLD_VERSIONS: ReadonlySet<TlsProtocol> = new Set([TlsProtocol.TLSv1_0, TlsProtocol.TLSv1_1]);

function compileParameters(params: TlsParameters | undefined, problem: Problem): SecureContextOptions {
  const least = params?.tlsMinimumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  const highest = params?.tlsMaximumProtocolVersion ?? TlsProtocol.TLS_AUTO;
  const suites = params?.cipherSuites ?? [];
  const isOld = OLD_VERSIONS.has(least) || OLD_VERSIONS.has(highest);
  // OpenSSL's signatures of these versions are below the security level that it has by itself.
  const level = isOld ? ':@SECLEVEL=0' : '';
  const options: SecureContextOptions = {
    // The peer is checked once a connection; a renegotiation could show another certificate. Envoy refuses it as well.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    minVersion: VERSIONS[least] ?? (isOld ? 'TLSv1' : 'TLSv1.2'),
    maxVersion: VERSIONS[highest] ?? 'TLSv1.3',
    ...(suites.length === 0 && !isOld
      ? {}
      : { ciphers: `${TLS13_SUITES}:${suites.length === 0 ? 'DEFAULT' : suites.join(':')}${level}` }),
  };
  if (params !== undefined && params.ecdhCurves.length > 0) options.ecdhCurve = params.ecdhCurves.join(':');
  try {
    createSecureContext(options);
  } catch (error) {
    problem('tls_params', `cannot be used: ${(error as Error).message}`);
  }
  return options;
}

function compileCertificates(
  context: CommonTlsContext | undefined,
  secrets: SecretStore,
  problem: Problem,
): TlsSettings['certificates'] {
  const sources: (() => Certificate | undefined)[] = (context?.tlsCertificateSdsSecretConfigs ?? []).map(
    ({ name }) =>
      () =>
        secrets.certificate(name),
  );
  context?.tlsCertificates.forEach((inline, index) => {
    const watched = watchedCertificateName(inline);
    if (watched !== undefined) {
      sources.push(() => secrets.certificate(watched));
      return;
    }
    try {
      const certificate = readCertificate(readSource(inline.certificateChain), readSource(inline.privateKey));
      sources.push(() => certificate);
    } catch (error) {
      problem(`tls_certificates[${index}]`, (error as Error).message);
    }
  });
  return () => {
    const present = sources.map((source) => source()).filter((certificate) => certificate !== undefined);
    return present.length === 0 || present.length < sources.length ? undefined : present;
  };
}

interface Validation {
  readonly verifies: boolean;
  readonly rules: NameRules;
  readonly pins: CertificatePins;
  readonly bundle: () => string | undefined;
  readonly revocations: () => string | undefined;
}

const none = (): undefined => undefined;
const NOTHING_VERIFIED: Validation = { verifies: false, rules: [], pins: NO_PINS, bundle: none, revocations: none };

function compileValidation(context: CommonTlsContext | undefined, secrets: SecretStore, problem: Problem): Validation {
  const type = context?.validationContextType;
  switch (type?.case) {
    case 'validationContextSdsSecretConfig': {
      const { name } = type.value;
      return {
        verifies: true,
        rules: [],
        pins: NO_PINS,
        bundle: () => secrets.trustedCa(name),
        revocations: () => secrets.revocations(name),
      };
    }
    case 'combinedValidationContext': {
      const path = 'combined_validation_context.default_validation_context';
      const fallback = compileInline(type.value.defaultValidationContext, secrets, (at, message) =>
        problem(`${path}.${at}`, message),
      );
      const name = type.value.validationContextSdsSecretConfig?.name ?? '';
      return {
        verifies: true,
        rules: fallback.rules,
        pins: fallback.pins,
        bundle: () => secrets.trustedCa(name) ?? fallback.bundle(),
        revocations: () => secrets.revocations(name) ?? fallback.revocations(),
      };
    }
    case 'validationContext':
      return compileInline(type.value, secrets, (at, message) => problem(`validation_context.${at}`, message));
    case undefined:
      return NOTHING_VERIFIED;
    default:
      problem(type?.case ?? 'validation_context_type', 'is not supported');
      return NOTHING_VERIFIED;
  }
}

function compileInline(
  context: CertificateValidationContext | undefined,
  secrets: SecretStore,
  problem: Problem,
): Validation {
  const rules = compileNameRules(context, problem);
  const pins = compilePins(context, problem);
  const read = (source: DataSource | undefined, field: string): string | undefined => {
    if (source === undefined) return undefined;
    try {
      return readSource(source);
    } catch (error) {
      problem(field, (error as Error).message);
      return undefined;
    }
  };
  const revoked = read(context?.crl, 'crl');
  const own = { rules, pins, revocations: () => revoked };
  if (context?.trustedCa === undefined) return { ...own, verifies: rules.length > 0, bundle: none };
  const watched = watchedRootsName(context);
  if (watched !== undefined) {
    const bundle = () => secrets.trustedCa(watched);
    return { ...own, verifies: true, bundle, revocations: () => secrets.revocations(watched) };
  }
  const pem = read(context.trustedCa, 'trusted_ca');
  return { ...own, verifies: true, bundle: () => pem };
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
