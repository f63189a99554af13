// Build: the TLS of the mesh: certificates and trust roots by SDS, the peers that are taken, ALPN.

import { create } from '@bufbuild/protobuf';
import { packAny } from '@lateen/xds-proto';
import { type TransportSocket, TransportSocketSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { RawBufferSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import {
  type SubjectAltNameMatcher,
  SubjectAltNameMatcher_SanType,
  SubjectAltNameMatcherSchema,
  type TlsParameters,
  TlsParameters_TlsProtocol,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import {
  CommonTlsContextSchema,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { MeshSnapshot } from '../../model.js';
import { compareText } from '../../stable-hash.js';
import { localSecret } from '../tls/secret-references.js';
import { cipherSuitesOf, tlsVersion } from '../tls/tls-parameters.js';

/** Offered for HTTP/1.1 between sidecars. */
export const HTTP_CLIENT_ALPN = ['istio-http/1.1', 'istio-http/1.0', 'istio', 'http/1.1'];
/** Offered for HTTP/2 between sidecars. */
export const HTTP2_CLIENT_ALPN = ['istio-h2', 'istio', 'h2'];
/** Offered where the first bytes tell which HTTP it is: nothing that the other side could choose. */
export const ANY_HTTP_CLIENT_ALPN = ['istio'];
/** Agreed on, it means that both sides begin with metadata of themselves. */
export const PEER_EXCHANGE = 'istio-peer-exchange';
/** Offered for TCP between sidecars. */
export const TCP_CLIENT_ALPN = [PEER_EXCHANGE, 'istio'];
/** The same from a proxy that cannot exchange metadata. */
export const PLAIN_TCP_CLIENT_ALPN = ['istio'];
const SERVER_ALPN = [PEER_EXCHANGE, 'h2', 'http/1.1'];

/** ALPN by which a caller shows that it is a sidecar; what an inbound chain for mutual TLS matches. */
export const ISTIO_ALPN = ['istio', PEER_EXCHANGE, 'istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
/** By these a sidecar says that it brings HTTP, where a port takes both. */
export const ISTIO_HTTP_ALPN = ['istio-http/1.0', 'istio-http/1.1', 'istio-h2'];
/** And by these that it brings anything else. */
export const ISTIO_TCP_ALPN = ['istio', PEER_EXCHANGE];

function uriMatcher(pattern: { case: 'exact' | 'prefix'; value: string }): SubjectAltNameMatcher {
  return create(SubjectAltNameMatcherSchema, {
    sanType: SubjectAltNameMatcher_SanType.URI,
    matcher: { matchPattern: pattern },
  });
}

/** The mesh's trust domain and the other names that it goes by. */
function trustDomains(snapshot: MeshSnapshot): readonly string[] {
  return [...new Set([snapshot.trustDomain, ...(snapshot.meshConfig.trustDomainAliases ?? [])])];
}

/** Takes every identity of the trust domain (and its aliases), and none of another. */
export function anyOfTrustDomain(snapshot: MeshSnapshot): SubjectAltNameMatcher[] {
  return trustDomains(snapshot).map((domain) => uriMatcher({ case: 'prefix', value: `spiffe://${domain}/` }));
}

/** The SPIFFE ids of service accounts in every name of the trust domain, sorted. */
export function spiffeIds(
  snapshot: MeshSnapshot,
  accounts: Iterable<{ readonly namespace: string; readonly serviceAccount: string }>,
): readonly string[] {
  const ids = new Set<string>();
  for (const { namespace, serviceAccount } of accounts) {
    for (const domain of trustDomains(snapshot)) {
      ids.add(`spiffe://${domain}/ns/${namespace}/sa/${serviceAccount || 'default'}`);
    }
  }
  return [...ids].sort(compareText);
}

function commonTlsContext(
  alpnProtocols: readonly string[],
  names: SubjectAltNameMatcher[],
  params: Partial<Pick<TlsParameters, 'tlsMinimumProtocolVersion' | 'cipherSuites'>> = {},
) {
  return create(CommonTlsContextSchema, {
    tlsParams: {
      tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2,
      tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3,
      ...params,
    },
    alpnProtocols: [...alpnProtocols],
    tlsCertificateSdsSecretConfigs: [localSecret('default')],
    validationContextType: {
      case: 'combinedValidationContext',
      value: {
        defaultValidationContext: { matchTypedSubjectAltNames: names },
        validationContextSdsSecretConfig: localSecret('ROOTCA'),
      },
    },
  });
}

/**
 * Mutual TLS toward a service.
 *
 * @param uris SPIFFE ids of which the server must have one; with none known yet, any of the trust domain
 */
export function upstreamMutualTls(
  snapshot: MeshSnapshot,
  sni: string,
  uris: readonly string[],
  alpn: readonly string[] = HTTP_CLIENT_ALPN,
): TransportSocket {
  const names =
    uris.length > 0 ? uris.map((uri) => uriMatcher({ case: 'exact', value: uri })) : anyOfTrustDomain(snapshot);
  const context = create(UpstreamTlsContextSchema, { commonTlsContext: commonTlsContext(alpn, names), sni });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: packAny(UpstreamTlsContextSchema, context) },
  });
}

/** Mutual TLS of an inbound listener: a certificate of the trust domain is required. */
export function downstreamMutualTls(snapshot: MeshSnapshot): TransportSocket {
  const { minProtocolVersion, cipherSuites } = snapshot.meshConfig.meshMTLS ?? {};
  const context = create(DownstreamTlsContextSchema, {
    commonTlsContext: commonTlsContext(SERVER_ALPN, anyOfTrustDomain(snapshot), {
      tlsMinimumProtocolVersion: tlsVersion(minProtocolVersion) ?? TlsParameters_TlsProtocol.TLSv1_2,
      cipherSuites: cipherSuitesOf(cipherSuites),
    }),
    requireClientCertificate: true,
  });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: packAny(DownstreamTlsContextSchema, context) },
  });
}

/** No TLS. */
export function rawBuffer(): TransportSocket {
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.raw_buffer',
    configType: { case: 'typedConfig', value: packAny(RawBufferSchema, create(RawBufferSchema)) },
  });
}
