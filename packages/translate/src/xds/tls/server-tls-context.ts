// Build: the TLS that a gateway terminates, from the `tls` of its servers.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type TransportSocket, TransportSocketSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { CertificateValidationContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type CommonTlsContext,
  CommonTlsContextSchema,
  DownstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { MeshSnapshot } from '../../model.js';
import type { TerminatedTls } from '../../resolve/gateway-tls.js';
import { anyOfTrustDomain } from '../clusters/tls-context.js';
import { exactNames } from './name-matchers.js';
import {
  credentialSecretName,
  fileCertificateName,
  fileRootsName,
  localSecret,
  servedSecret,
} from './secret-references.js';
import { tlsParameters } from './tls-parameters.js';

/** What a gateway agrees on with clients of HTTP. */
export const GATEWAY_HTTP_ALPN = ['h2', 'http/1.1'];

function certificatesOf({ settings, credentials }: TerminatedTls): SdsSecretConfig[] {
  if (settings.mode === 'ISTIO_MUTUAL') return [localSecret('default')];
  if (credentials.length > 0) return credentials.map((name) => servedSecret(credentialSecretName(name)));
  const pairs = settings.tlsCertificates ?? [settings];
  return pairs.map(({ serverCertificate = '', privateKey = '' }) =>
    localSecret(fileCertificateName(serverCertificate, privateKey)),
  );
}

/** Where the roots that clients are checked with come from. */
function rootsOf({ settings, rootsCredential }: TerminatedTls): SdsSecretConfig {
  if (settings.mode === 'ISTIO_MUTUAL') return localSecret('ROOTCA');
  if (rootsCredential !== undefined) return servedSecret(credentialSecretName(rootsCredential));
  const file = settings.caCertificates ?? settings.tlsCertificates?.[0]?.caCertificates ?? '';
  return localSecret(fileRootsName(file));
}

function validationOf(snapshot: MeshSnapshot, tls: TerminatedTls): CommonTlsContext['validationContextType'] {
  const { settings } = tls;
  if (settings.mode === 'SIMPLE') return { case: undefined };
  const names = settings.subjectAltNames ?? [];
  const matchers =
    names.length === 0 && settings.mode === 'ISTIO_MUTUAL' ? anyOfTrustDomain(snapshot) : exactNames(names);
  return {
    case: 'combinedValidationContext',
    value: {
      $typeName: 'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext',
      defaultValidationContext: create(CertificateValidationContextSchema, {
        matchTypedSubjectAltNames: matchers,
        verifyCertificateSpki: [...(settings.verifyCertificateSpki ?? [])],
        verifyCertificateHash: [...(settings.verifyCertificateHash ?? [])],
        ...(settings.caCrl ? { crl: { specifier: { case: 'filename', value: settings.caCrl } } } : {}),
      }),
      validationContextSdsSecretConfig: rootsOf(tls),
    },
  };
}

/**
 * TLS that is terminated here.
 *
 * @param alpn what is agreed on with the client; empty where nothing is
 */
export function serverTlsSocket(snapshot: MeshSnapshot, tls: TerminatedTls, alpn: readonly string[]): TransportSocket {
  const { mode } = tls.settings;
  const context = create(DownstreamTlsContextSchema, {
    commonTlsContext: create(CommonTlsContextSchema, {
      // As Istio: the mesh's defaults are not for its own mutual TLS.
      tlsParams: tlsParameters(mode === 'ISTIO_MUTUAL' ? {} : snapshot.meshConfig, tls.settings),
      alpnProtocols: [...alpn],
      tlsCertificateSdsSecretConfigs: certificatesOf(tls),
      validationContextType: validationOf(snapshot, tls),
    }),
    requireClientCertificate: mode === 'MUTUAL' || mode === 'ISTIO_MUTUAL',
  });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: packAny(DownstreamTlsContextSchema, context) },
  });
}
