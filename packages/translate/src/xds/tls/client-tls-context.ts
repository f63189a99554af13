// Build: TLS toward services that is not the mesh's own: SIMPLE and MUTUAL of a DestinationRule.

import { create } from '@bufbuild/protobuf';
import type { ClientTlsSettings, MeshConfig } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { type TransportSocket, TransportSocketSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { CertificateValidationContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type CommonTlsContext,
  CommonTlsContextSchema,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type Credentials, ROOTS_SUFFIX } from '../../resolve/credentials.js';
import { exactNames } from './name-matchers.js';
import {
  credentialSecretName,
  fileCertificateName,
  fileRootsName,
  localSecret,
  SYSTEM_ROOTS,
  servedSecret,
} from './secret-references.js';
import { tlsParameters } from './tls-parameters.js';

/** Who is called. */
export interface CalledHost {
  readonly hostname: string;
  /** Requests go there, and not mere bytes. */
  readonly http: boolean;
  /** They are of HTTP/2 alone. */
  readonly http2: boolean;
  /** Names that a ServiceEntry gives to the host's certificate. */
  readonly subjectAltNames: readonly string[];
}

/** The Secrets that a policy's TLS names. */
export interface ClientCredentials {
  /** With the client's certificate. */
  readonly certificate: string | undefined;
  /** With the roots that the server is checked with. */
  readonly roots: string | undefined;
}

/** Whether a policy's TLS is one that the mesh does not make by itself. */
export function originatesTls(
  tls: ClientTlsSettings | undefined,
): tls is ClientTlsSettings & { readonly mode: 'SIMPLE' | 'MUTUAL' } {
  return tls?.mode === 'SIMPLE' || tls?.mode === 'MUTUAL';
}

export function clientCredentials(tls: ClientTlsSettings): ClientCredentials {
  const { credentialName: name } = tls;
  return {
    certificate: name && tls.mode === 'MUTUAL' ? name : undefined,
    roots: name && tls.insecureSkipVerify !== true ? `${name}${ROOTS_SUFFIX}` : undefined,
  };
}

/**
 * Why no call can be made with a policy's TLS, in which case none is: in plain text, or to a server that nobody has
 * checked, it would not be what was asked for. Undefined where calls can be made.
 */
export function faultOfClientTls(
  tls: ClientTlsSettings,
  { hostname, http }: CalledHost,
  credentials: Credentials,
): string | undefined {
  const { certificate, roots } = clientCredentials(tls);
  for (const found of [
    certificate === undefined ? undefined : credentials.certificate(certificate),
    roots === undefined ? undefined : credentials.roots(roots),
  ]) {
    if (found !== undefined && 'fault' in found) return found.fault;
  }
  const checked = tls.insecureSkipVerify === true || (tls.subjectAltNames?.length ?? 0) > 0;
  if (http && hostname.startsWith('*') && !tls.sni && !checked) {
    return `${hostname} is no name that a server could be checked by; add \`sni\` and \`subjectAltNames\``;
  }
  return undefined;
}

function validationOf(tls: ClientTlsSettings, host: CalledHost): CommonTlsContext['validationContextType'] {
  if (tls.insecureSkipVerify === true) return { case: undefined };
  const { roots } = clientCredentials(tls);
  const source: SdsSecretConfig =
    roots === undefined
      ? localSecret(fileRootsName(tls.caCertificates || SYSTEM_ROOTS))
      : servedSecret(credentialSecretName(roots));
  return {
    case: 'combinedValidationContext',
    value: {
      $typeName: 'envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.CombinedCertificateValidationContext',
      defaultValidationContext: create(CertificateValidationContextSchema, {
        matchTypedSubjectAltNames: exactNames(expectedNames(tls, host)),
        ...(tls.caCrl ? { crl: { specifier: { case: 'filename', value: tls.caCrl } } } : {}),
      }),
      validationContextSdsSecretConfig: source,
    },
  };
}

/**
 * The names of which the server must have one. Where neither names nor a server name are given, requests go to a server
 * that proves to be the host that is called; Istio has Envoy take both from each request, which is the same host.
 */
function expectedNames(tls: ClientTlsSettings, { hostname, http, subjectAltNames }: CalledHost): readonly string[] {
  if (tls.subjectAltNames !== undefined && tls.subjectAltNames.length > 0) return tls.subjectAltNames;
  if (subjectAltNames.length > 0) return subjectAltNames;
  return http && !tls.sni && !hostname.startsWith('*') ? [hostname] : [];
}

/** TLS toward a host; only where nothing is wrong with it. */
export function clientTlsSocket(tls: ClientTlsSettings, host: CalledHost, mesh: MeshConfig): TransportSocket {
  const { certificate } = clientCredentials(tls);
  const ownName = host.http && !host.hostname.startsWith('*') ? host.hostname : '';
  const certificates =
    certificate !== undefined
      ? [servedSecret(credentialSecretName(certificate))]
      : tls.mode === 'MUTUAL'
        ? [localSecret(fileCertificateName(tls.clientCertificate ?? '', tls.privateKey ?? ''))]
        : [];
  const context = create(UpstreamTlsContextSchema, {
    commonTlsContext: create(CommonTlsContextSchema, {
      tlsParams: tlsParameters(mesh),
      alpnProtocols: host.http2 ? ['h2'] : [],
      tlsCertificateSdsSecretConfigs: certificates,
      validationContextType: validationOf(tls, host),
    }),
    sni: tls.sni || ownName,
  });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: packAny(UpstreamTlsContextSchema, context) },
  });
}
