// Bootstrap: where the control plane is and how it is reached, from `dynamic_resources` and the cluster that it names.

import { parseSpiffeId, type SpiffeId } from '@lateen/identity';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { Bootstrap } from '@lateen/xds-proto/envoy/config/bootstrap/v3/bootstrap_pb.js';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ApiConfigSource,
  ApiConfigSource_ApiType,
} from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import {
  type CertificateValidationContext,
  SubjectAltNameMatcher_SanType,
  type TlsCertificate,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import type { SdsSecretConfig } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type CommonTlsContext,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { XdsProtocol } from '@lateen/xds-stream';
import { readResourceSource } from './files/resource-source.js';
import { readDataSource } from './read-secret.js';
import { LOCAL_SDS_CLUSTER, type ProblemCollector } from './validate/field-checks.js';

/** How a connection to the control plane is secured. */
export type AdsSecurity =
  | { readonly kind: 'plaintext' }
  /** With the sidecar's own certificate (`default`) and roots (`ROOTCA`). */
  | { readonly kind: 'own-identity'; readonly expectedSpiffeIds: readonly SpiffeId[] }
  /** With a certificate of files. */
  | {
      readonly kind: 'files';
      readonly expectedSpiffeIds: readonly SpiffeId[];
      readonly certChainPem: string;
      readonly keyPem: string;
      readonly rootsPem: string;
    };

export interface AdsConfig {
  readonly protocol: XdsProtocol;
  readonly clusterName: string;
  /** gRPC target, for example `ipv4:127.0.0.1:15012`. */
  readonly target: string;
  readonly authority: string | undefined;
  readonly security: AdsSecurity;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
  /** Whether listeners and clusters come over ADS. */
  readonly listeners: boolean;
  readonly clusters: boolean;
}

/** Names of clusters that only lead to a control plane; the data path does not get them. */
export function controlPlaneClusterNames(bootstrap: Bootstrap): Set<string> {
  const names = new Set([LOCAL_SDS_CLUSTER]);
  const ads = bootstrap.dynamicResources?.adsConfig;
  const name = ads === undefined ? undefined : clusterNameOf(ads);
  if (name !== undefined) names.add(name);
  return names;
}

/** Undefined where there are no dynamic resources, or where problems were found. */
export function readAdsConfig(bootstrap: Bootstrap, out: ProblemCollector): AdsConfig | undefined {
  const dynamic = bootstrap.dynamicResources;
  if (dynamic === undefined) return undefined;
  const at = 'dynamic_resources';
  const found = out.problems.length;
  const ads = dynamic.adsConfig;
  if (ads === undefined) return undefined;
  const protocol = PROTOCOLS.get(ads.apiType);
  if (protocol === undefined) out.add(`${at}.ads_config.api_type`, 'must be GRPC or DELTA_GRPC');
  if (ads.grpcServices.length !== 1) out.add(`${at}.ads_config.grpc_services`, 'exactly one is expected');
  const clusterName = clusterNameOf(ads);
  const clusters = bootstrap.staticResources?.clusters ?? [];
  const index = clusters.findIndex(({ name }) => name === clusterName);
  const cluster = clusters[index];
  if (cluster === undefined) {
    out.add(
      `${at}.ads_config.grpc_services[0].envoy_grpc.cluster_name`,
      `no static cluster is named ${JSON.stringify(clusterName ?? '')}`,
    );
    return undefined;
  }
  const clusterPath = `static_resources.clusters[${index}]`;
  const target = readTarget(cluster, clusterPath, out);
  const security = readSecurity(cluster, clusterPath, out);
  if (out.problems.length > found || protocol === undefined || target === undefined || security === undefined) {
    return undefined;
  }
  const [service] = ads.grpcServices;
  const specifier = service?.targetSpecifier;
  return {
    protocol,
    clusterName: cluster.name,
    target,
    authority:
      specifier?.case === 'envoyGrpc' && specifier.value.authority !== '' ? specifier.value.authority : undefined,
    security,
    headers: (service?.initialMetadata ?? []).map(({ key, value }) => ({ key, value })),
    listeners: readResourceSource(dynamic.ldsConfig) === 'ads',
    clusters: readResourceSource(dynamic.cdsConfig) === 'ads',
  };
}

const PROTOCOLS: ReadonlyMap<ApiConfigSource_ApiType, XdsProtocol> = new Map([
  [ApiConfigSource_ApiType.GRPC, 'sotw'],
  [ApiConfigSource_ApiType.AGGREGATED_GRPC, 'sotw'],
  [ApiConfigSource_ApiType.DELTA_GRPC, 'delta'],
  [ApiConfigSource_ApiType.AGGREGATED_DELTA_GRPC, 'delta'],
]);

function clusterNameOf(ads: ApiConfigSource): string | undefined {
  const specifier = ads.grpcServices[0]?.targetSpecifier;
  return specifier?.case === 'envoyGrpc' ? specifier.value.clusterName : undefined;
}

/** Several addresses of one family become one gRPC target that tries them in turn; a DNS name is resolved by gRPC. */
function readTarget(cluster: Cluster, path: string, out: ProblemCollector): string | undefined {
  const addresses: { host: string; port: number }[] = [];
  for (const locality of cluster.loadAssignment?.endpoints ?? []) {
    for (const { hostIdentifier } of locality.lbEndpoints) {
      const address = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      if (address?.case !== 'socketAddress' || address.value.portSpecifier.case !== 'portValue') continue;
      addresses.push({ host: address.value.address, port: address.value.portSpecifier.value });
    }
  }
  const [first] = addresses;
  if (first === undefined) {
    out.add(`${path}.load_assignment`, 'an endpoint with an address and a port is required');
    return undefined;
  }
  const family = familyOf(first.host);
  if (addresses.some(({ host }) => familyOf(host) !== family) || (family === 'dns' && addresses.length > 1)) {
    out.add(`${path}.load_assignment`, 'give addresses of one family, or one DNS name');
    return undefined;
  }
  const hostPort = ({ host, port }: { host: string; port: number }) =>
    family === 'ipv6' ? `[${host}]:${port}` : `${host}:${port}`;
  return family === 'dns' ? `dns:///${hostPort(first)}` : `${family}:${addresses.map(hostPort).join(',')}`;
}

function familyOf(host: string): 'ipv4' | 'ipv6' | 'dns' {
  if (host.includes(':')) return 'ipv6';
  return /^\d+\.\d+\.\d+\.\d+$/.test(host) ? 'ipv4' : 'dns';
}

function readSecurity(cluster: Cluster, path: string, out: ProblemCollector): AdsSecurity | undefined {
  const socket = cluster.transportSocket?.configType;
  if (socket?.case !== 'typedConfig' || !anyIs(socket.value, UpstreamTlsContextSchema)) return { kind: 'plaintext' };
  const at = `${path}.transport_socket.typed_config.common_tls_context`;
  const context = unpackAny(socket.value, UpstreamTlsContextSchema).commonTlsContext;
  if (context === undefined) {
    out.add(at, 'is required');
    return undefined;
  }
  const [certificateSds] = context.tlsCertificateSdsSecretConfigs;
  const { validation, rootsSds } = readValidation(context);
  const expectedSpiffeIds = readExpectedIds(validation, at, out);
  if (certificateSds !== undefined && rootsSds !== undefined) {
    if (isLocal(certificateSds) && isLocal(rootsSds)) return { kind: 'own-identity', expectedSpiffeIds };
    out.add(
      at,
      `the secrets to reach the control plane cannot come from it; use sds_config with the gRPC cluster ${LOCAL_SDS_CLUSTER}`,
    );
    return undefined;
  }
  const [certificate] = context.tlsCertificates;
  if (certificate === undefined || validation?.trustedCa === undefined) {
    out.add(at, 'needs a certificate and trust roots, both by SDS or both by files');
    return undefined;
  }
  return readFileSecurity(certificate, validation, expectedSpiffeIds, at, out);
}

function readValidation(context: CommonTlsContext): {
  validation: CertificateValidationContext | undefined;
  rootsSds: SdsSecretConfig | undefined;
} {
  const { validationContextType: type } = context;
  switch (type.case) {
    case 'combinedValidationContext':
      return {
        validation: type.value.defaultValidationContext,
        rootsSds: type.value.validationContextSdsSecretConfig,
      };
    case 'validationContextSdsSecretConfig':
      return { validation: undefined, rootsSds: type.value };
    case 'validationContext':
      return { validation: type.value, rootsSds: undefined };
    default:
      return { validation: undefined, rootsSds: undefined };
  }
}

function isLocal({ sdsConfig }: SdsSecretConfig): boolean {
  const source = sdsConfig?.configSourceSpecifier;
  return source?.case === 'apiConfigSource' && clusterNameOf(source.value) === LOCAL_SDS_CLUSTER;
}

/** Without a name to expect, anybody in the mesh could play the control plane. */
function readExpectedIds(
  validation: CertificateValidationContext | undefined,
  path: string,
  out: ProblemCollector,
): SpiffeId[] {
  const ids: SpiffeId[] = [];
  const texts = [
    ...(validation?.matchTypedSubjectAltNames ?? []).map(({ sanType, matcher }) =>
      sanType === SubjectAltNameMatcher_SanType.URI ? matcher : undefined,
    ),
    ...(validation?.matchSubjectAltNames ?? []),
  ];
  for (const matcher of texts) {
    const pattern = matcher?.matchPattern;
    try {
      if (pattern?.case !== 'exact') throw new Error('an exact URI is expected');
      ids.push(parseSpiffeId(pattern.value).id);
    } catch (error) {
      out.add(`${path}.match_typed_subject_alt_names`, (error as Error).message);
    }
  }
  if (texts.length === 0) {
    out.add(path, 'needs match_typed_subject_alt_names with the SPIFFE id of the control plane');
  }
  return ids;
}

function readFileSecurity(
  certificate: TlsCertificate,
  validation: CertificateValidationContext,
  expectedSpiffeIds: readonly SpiffeId[],
  path: string,
  out: ProblemCollector,
): AdsSecurity | undefined {
  const report = (field: string, message: string) => out.add(`${path}.${field}`, message);
  const certChainPem = readDataSource(certificate.certificateChain, 'tls_certificates[0].certificate_chain', report);
  const keyPem = readDataSource(certificate.privateKey, 'tls_certificates[0].private_key', report);
  const rootsPem = readDataSource(validation.trustedCa, 'validation_context.trusted_ca', report);
  if (certChainPem === undefined || keyPem === undefined || rootsPem === undefined) return undefined;
  return { kind: 'files', expectedSpiffeIds, certChainPem, keyPem, rootsPem };
}
