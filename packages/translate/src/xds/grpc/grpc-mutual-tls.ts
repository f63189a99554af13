// Build: mutual TLS of a proxyless gRPC client, which takes certificate and roots from the provider that its own bootstrap
// names `default` (gRFC A29): Pilot says whom to believe.

import { create } from '@bufbuild/protobuf';
import type { ClientTlsSettings } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { type TransportSocket, TransportSocketSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { UpstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { MeshSnapshot } from '../../model.js';
import type { MeshService } from '../../resolve/mesh-index.js';
import { serverNames } from '../clusters/outbound-clusters.js';
import { anyOfTrustDomain } from '../clusters/tls-context.js';

const PROVIDER = 'default';

/** The server must have one of the service's identities; with none known yet, any of the trust domain. */
export function grpcMutualTls(snapshot: MeshSnapshot, service: MeshService, tls: ClientTlsSettings): TransportSocket {
  const names = tls.subjectAltNames?.length ? tls.subjectAltNames : serverNames(snapshot, service);
  const matchers = names.map((name) => ({ matchPattern: { case: 'exact' as const, value: name } }));
  const anyOfMesh = anyOfTrustDomain(snapshot).flatMap(({ matcher }) => matcher ?? []);
  const context = create(UpstreamTlsContextSchema, {
    commonTlsContext: {
      tlsCertificateProviderInstance: { instanceName: PROVIDER, certificateName: 'default' },
      validationContextType: {
        case: 'validationContext',
        value: {
          caCertificateProviderInstance: { instanceName: PROVIDER, certificateName: 'ROOTCA' },
          // The newer field, with its types of names, is not read by gRPC's libraries.
          matchSubjectAltNames: matchers.length > 0 ? matchers : anyOfMesh,
        },
      },
    },
  });
  return create(TransportSocketSchema, {
    name: 'envoy.transport_sockets.tls',
    configType: { case: 'typedConfig', value: packAny(UpstreamTlsContextSchema, context) },
  });
}
