// Store: which other resources a listener or a cluster needs before it can serve. Read once for each message.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { hostFileSecret } from '@lateen/identity/host-files';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import { type Cluster, Cluster_DiscoveryType } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { ProxyProtocolUpstreamTransportSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import {
  type SdsSecretConfig,
  type Secret,
  SecretSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type CommonTlsContext,
  DownstreamTlsContextSchema,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { watchedCertificateName, watchedRootsName } from '../../identity/watched-secrets.js';
import { type ResourceSource, readResourceSource } from '../files/resource-source.js';

/** Where a secret comes from: the control plane, a file, this process's own identity, or the bootstrap file. */
export type SecretSource = ResourceSource | 'local' | 'static';

export interface References {
  readonly routes: ReadonlyMap<string, ResourceSource>;
  readonly secrets: ReadonlyMap<string, SecretSource>;
  /** Certificates and roots that stand in the TLS contexts themselves, and whose files are followed. */
  readonly fileSecrets: readonly Secret[];
  /** What a cluster of type EDS asks for. */
  readonly endpoints: { readonly name: string; readonly source: ResourceSource } | undefined;
}

const cache = new WeakMap<Listener | Cluster, References>();

export function listenerReferences(listener: Listener): References {
  return remember(listener, () => {
    const routes = new Map<string, ResourceSource>();
    const secrets = new Map<string, SecretSource>();
    const fileSecrets: Secret[] = [];
    const chains = [...listener.filterChains, ...(listener.defaultFilterChain ? [listener.defaultFilterChain] : [])];
    for (const chain of chains) {
      collectSecrets(chain.transportSocket, secrets, fileSecrets);
      for (const { configType } of chain.filters) {
        if (configType.case !== 'typedConfig' || !anyIs(configType.value, HttpConnectionManagerSchema)) continue;
        const { routeSpecifier } = unpackAny(configType.value, HttpConnectionManagerSchema);
        if (routeSpecifier.case !== 'rds') continue;
        const { routeConfigName, configSource } = routeSpecifier.value;
        routes.set(routeConfigName, readResourceSource(configSource) ?? 'ads');
      }
    }
    return { routes, secrets, fileSecrets, endpoints: undefined };
  });
}

export function clusterReferences(cluster: Cluster): References {
  return remember(cluster, () => {
    const secrets = new Map<string, SecretSource>();
    const fileSecrets: Secret[] = [];
    collectSecrets(cluster.transportSocket, secrets, fileSecrets);
    for (const { transportSocket } of cluster.transportSocketMatches)
      collectSecrets(transportSocket, secrets, fileSecrets);
    const { clusterDiscoveryType: type } = cluster;
    const isEds = type.case === 'type' && type.value === Cluster_DiscoveryType.EDS;
    const endpoints = isEds
      ? {
          name: cluster.edsClusterConfig?.serviceName || cluster.name,
          source: readResourceSource(cluster.edsClusterConfig?.edsConfig) ?? 'ads',
        }
      : undefined;
    return { routes: new Map(), secrets, fileSecrets, endpoints };
  });
}

function remember<T extends Listener | Cluster>(message: T, read: () => References): References {
  let references = cache.get(message);
  if (references === undefined) {
    references = read();
    cache.set(message, references);
  }
  return references;
}

function collectSecrets(
  socket: TransportSocket | undefined,
  secrets: Map<string, SecretSource>,
  fileSecrets: Secret[],
): void {
  if (socket?.configType.case !== 'typedConfig') return;
  if (anyIs(socket.configType.value, ProxyProtocolUpstreamTransportSchema)) {
    const { transportSocket } = unpackAny(socket.configType.value, ProxyProtocolUpstreamTransportSchema);
    collectSecrets(transportSocket, secrets, fileSecrets);
    return;
  }
  const context = commonContext(socket.configType.value);
  if (context === undefined) return;
  const refer = (config: SdsSecretConfig) => {
    const source = sourceOf(config);
    const file = source === 'local' ? hostFileSecret(config.name) : undefined;
    // What is read from files here is not waited for: where it is missing, what uses it is refused, and nothing else.
    if (file === undefined) secrets.set(config.name, source);
    else fileSecrets.push(fileSecret(config.name, file));
  };
  for (const config of context.tlsCertificateSdsSecretConfigs) refer(config);
  const { validationContextType: validation } = context;
  const roots =
    validation.case === 'validationContextSdsSecretConfig'
      ? validation.value
      : validation.case === 'combinedValidationContext'
        ? validation.value.validationContextSdsSecretConfig
        : undefined;
  if (roots !== undefined) refer(roots);
  for (const certificate of context.tlsCertificates) {
    const name = watchedCertificateName(certificate);
    if (name !== undefined) fileSecrets.push(fileSecret(name, { case: 'tlsCertificate', value: certificate }));
  }
  const inline =
    validation.case === 'validationContext'
      ? validation.value
      : validation.case === 'combinedValidationContext'
        ? validation.value.defaultValidationContext
        : undefined;
  const name = inline === undefined ? undefined : watchedRootsName(inline);
  if (inline !== undefined && name !== undefined) {
    fileSecrets.push(fileSecret(name, { case: 'validationContext', value: inline }));
  }
}

/** By name, which stands for the content: contexts with the same files share one secret. */
const fileSecretsByName = new Map<string, Secret>();

function fileSecret(name: string, type: Secret['type']): Secret {
  let secret = fileSecretsByName.get(name);
  if (secret === undefined) {
    secret = create(SecretSchema, { name, type });
    fileSecretsByName.set(name, secret);
  }
  return secret;
}

function commonContext(any: Any): CommonTlsContext | undefined {
  if (anyIs(any, DownstreamTlsContextSchema)) return unpackAny(any, DownstreamTlsContextSchema).commonTlsContext;
  if (anyIs(any, UpstreamTlsContextSchema)) return unpackAny(any, UpstreamTlsContextSchema).commonTlsContext;
  return undefined;
}

/** The only stream of its own that validation lets through is the one that stands for the own identity. */
function sourceOf({ sdsConfig }: SdsSecretConfig): SecretSource {
  if (sdsConfig?.configSourceSpecifier.case === undefined) return 'static';
  return readResourceSource(sdsConfig) ?? 'local';
}
