// Tests: secrets of a mesh's workloads, and the TLS contexts that Pilot would send.

import type { WorkloadIdentity } from '@lateen/identity';
import type { TestAuthority } from '@lateen/identity/testing';
import type { TlsSecret } from '../data-plane.js';
import { tlsSocket } from './envoy-config.js';

type Json = Record<string, unknown>;

/** `default` and `ROOTCA`, as the sidecar's own identity provides them. */
export function secretsOf(identity: WorkloadIdentity, rootsPem = identity.rootsPem): Map<string, TlsSecret> {
  return new Map<string, TlsSecret>([
    ['default', { kind: 'certificate', certificateChainPem: identity.certChainPem, privateKeyPem: identity.keyPem }],
    ['ROOTCA', { kind: 'validation', trustedCaPem: rootsPem }],
  ]);
}

export async function workloadSecrets(
  authority: TestAuthority,
  serviceAccount: string,
  ttlSeconds = 3600,
): Promise<Map<string, TlsSecret>> {
  return secretsOf(await authority.issue({ namespace: 'default', serviceAccount, ttlSeconds }));
}

function common(alpn: readonly string[], sans: readonly Json[]): Json {
  return {
    tls_certificate_sds_secret_configs: [{ name: 'default' }],
    combined_validation_context: {
      default_validation_context: { match_typed_subject_alt_names: sans },
      validation_context_sds_secret_config: { name: 'ROOTCA' },
    },
    alpn_protocols: alpn,
  };
}

/** The accepting side between sidecars. */
export function meshServerSocket(): Json {
  return tlsSocket(
    'Downstream',
    common(
      ['istio-peer-exchange', 'h2', 'http/1.1'],
      [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
    ),
    { require_client_certificate: true },
  );
}

/** The connecting side between sidecars, expecting these service accounts of namespace `default`. */
export function meshClientSocket(...serviceAccounts: readonly string[]): Json {
  return meshClientSocketOf(serviceAccounts, ['istio-http/1.1', 'istio', 'http/1.1']);
}

/** The same with other protocols on offer. */
export function meshClientSocketOf(serviceAccounts: readonly string[], alpn: readonly string[]): Json {
  return tlsSocket(
    'Upstream',
    common(
      alpn,
      serviceAccounts.map((account) => ({
        san_type: 'URI',
        matcher: { exact: `spiffe://cluster.local/ns/default/sa/${account}` },
      })),
    ),
    { sni: 'outbound_.9080_._.reviews.default.svc.cluster.local' },
  );
}
