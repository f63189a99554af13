// Build: how TLS contexts name their secrets, as Istio does: over ADS, or from whoever serves the proxy's own (`sds-grpc`).

import { create } from '@bufbuild/protobuf';
import { ApiConfigSource_ApiType, ApiVersion } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import {
  type SdsSecretConfig,
  SdsSecretConfigSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';

/** A secret that the proxy's own host has: served under the cluster name `sds-grpc`, which a sidecar does not dial. */
export function localSecret(name: string): SdsSecretConfig {
  return create(SdsSecretConfigSchema, {
    name,
    sdsConfig: {
      resourceApiVersion: ApiVersion.V3,
      configSourceSpecifier: {
        case: 'apiConfigSource',
        value: {
          apiType: ApiConfigSource_ApiType.GRPC,
          transportApiVersion: ApiVersion.V3,
          setNodeOnFirstMessageOnly: true,
          grpcServices: [{ targetSpecifier: { case: 'envoyGrpc', value: { clusterName: 'sds-grpc' } } }],
        },
      },
    },
  });
}

/** A secret that Pilot serves. */
export function servedSecret(name: string): SdsSecretConfig {
  return create(SdsSecretConfigSchema, {
    name,
    sdsConfig: { resourceApiVersion: ApiVersion.V3, configSourceSpecifier: { case: 'ads', value: {} } },
  });
}

/** Name of the SDS resource of a credential. */
export function credentialSecretName(credentialName: string): string {
  return `kubernetes://${credentialName}`;
}

/** Name under which a proxy's host serves a certificate and its key from two files. */
export function fileCertificateName(certificateFile: string, keyFile: string): string {
  return `file-cert:${certificateFile}~${keyFile}`;
}

/** Name under which a proxy's host serves trust roots from a file; `system` for those of its operating system. */
export function fileRootsName(rootsFile: string): string {
  return `file-root:${rootsFile}`;
}

/** The trust roots of the operating system that the proxy runs on. */
export const SYSTEM_ROOTS = 'system';
