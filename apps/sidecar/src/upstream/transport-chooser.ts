// Upstream: makes transports of what sockets say, and picks that of an endpoint: the first match of its metadata, or the cluster's own.

import type { JsonObject } from '@bufbuild/protobuf';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { TransportSocket } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ProxyProtocolConfig_Version } from '@lateen/xds-proto/envoy/config/core/v3/proxy_protocol_pb.js';
import type { LbEndpoint } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { ProxyProtocolUpstreamTransportSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol_pb.js';
import { UpstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { DataPath } from '../transport/data-path.js';
import type { SecretStore } from '../transport/secret-store.js';
import type { SecurityPairs } from '../transport/security-pairs.js';
import { UpstreamTls } from './upstream-tls.js';
import { createPlainTransport, type ProxyVersion, type UpstreamTransport } from './upstream-transport.js';

/** Key of the endpoint metadata that matches are tried against. */
const MATCH_METADATA = 'envoy.transport_socket_match';

export interface TransportChooser {
  choose(endpoint: LbEndpoint): UpstreamTransport;
  /** By criteria that take the place of the endpoint's metadata. */
  chooseBy(criteria: JsonObject): UpstreamTransport;
}

/** `compile` makes a transport of one socket's configuration, `path` being where it stands in the cluster. */
export function createTransportChooser(
  cluster: Cluster,
  plain: UpstreamTransport,
  compile: (socket: TransportSocket, path: string) => UpstreamTransport,
): TransportChooser {
  const own = cluster.transportSocket === undefined ? plain : compile(cluster.transportSocket, 'transport_socket');
  const matches = cluster.transportSocketMatches.map(({ match, transportSocket }, index) => ({
    match: match ?? {},
    transport:
      transportSocket === undefined
        ? plain
        : compile(transportSocket, `transport_socket_matches[${index}].transport_socket`),
  }));
  const chooseBy = (metadata: JsonObject) => matches.find(({ match }) => covers(metadata, match))?.transport ?? own;
  return {
    chooseBy,
    choose: (endpoint) => chooseBy(endpoint.metadata?.filterMetadata[MATCH_METADATA] ?? {}),
  };
}

/** Every field of the match is in the metadata with an equal value; an empty match covers everything. */
function covers(metadata: JsonObject, match: JsonObject): boolean {
  return Object.entries(match).every(([name, value]) => JSON.stringify(metadata[name]) === JSON.stringify(value));
}

/** What transports are compiled with. */
export interface TransportContext {
  readonly path: DataPath;
  readonly secrets: SecretStore;
  readonly pairs: SecurityPairs;
  /** Without TLS and PROXY headers. */
  readonly plain: UpstreamTransport;
}

/** The transport that a socket's configuration asks for. @param problem told what is wrong with it, by the field's path */
export function compileTransport(
  socket: TransportSocket,
  context: TransportContext,
  problem: (path: string, message: string) => void,
  proxyVersion: ProxyVersion = 0,
): UpstreamTransport {
  const { path, secrets, pairs, plain } = context;
  if (socket.configType.case !== 'typedConfig') {
    problem('typed_config', 'is missing');
    return plain;
  }
  const any = socket.configType.value;
  if (anyIs(any, ProxyProtocolUpstreamTransportSchema)) {
    const { config, transportSocket } = unpackAny(any, ProxyProtocolUpstreamTransportSchema);
    const version = config?.version === ProxyProtocolConfig_Version.V2 ? 2 : 1;
    if (transportSocket !== undefined) return compileTransport(transportSocket, context, problem, version);
    problem('transport_socket', 'is missing');
  }
  if (!anyIs(any, UpstreamTlsContextSchema))
    return proxyVersion === 0 ? plain : createPlainTransport(path, proxyVersion);
  return new UpstreamTls(unpackAny(any, UpstreamTlsContextSchema), path, secrets, pairs, problem, proxyVersion);
}
