// Build: which HTTP a cluster speaks to its endpoints, by the port's protocol, the DestinationRule and the mesh.

import { create } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import type { ConnectionPoolSettings, MeshConfig, PortProtocol } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import {
  type Http1ProtocolOptions,
  Http1ProtocolOptionsSchema,
} from '@lateen/xds-proto/envoy/config/core/v3/protocol_pb.js';
import { PreserveCaseFormatterConfigSchema } from '@lateen/xds-proto/envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case_pb.js';
import { HttpProtocolOptionsSchema } from '@lateen/xds-proto/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import type { ProxyHeaders } from '../../proxy-headers.js';
import { durationOfText } from '../durations.js';

/** `client`: what the client speaks. */
export type UpstreamProtocol = 'http/1.1' | 'http/2' | 'client';

/** HTTP/2 alone is spoken on a port of these. */
export function isHttp2Protocol(protocol: PortProtocol): boolean {
  return protocol === 'http2' || protocol === 'grpc' || protocol === 'grpc-web';
}

/**
 * The protocol for a port, as Istio chooses it.
 *
 * @param detects the proxy's clients are applications, which know what the server speaks where the port does not say; those
 *   of a gateway do not
 */
export function upstreamProtocolOf(
  protocol: PortProtocol,
  pool: ConnectionPoolSettings | undefined,
  meshConfig: MeshConfig,
  detects: boolean,
): UpstreamProtocol {
  if (pool?.http?.useClientProtocol === true) return 'client';
  if (isHttp2Protocol(protocol)) return 'http/2';
  const upgrade = pool?.http?.h2UpgradePolicy;
  if (upgrade === 'UPGRADE') return 'http/2';
  // The mesh's default is for ports that are said to be HTTP.
  if (upgrade !== 'DO_NOT_UPGRADE' && protocol === 'http' && meshConfig.h2UpgradePolicy === 'UPGRADE') return 'http/2';
  return protocol === 'auto' && detects ? 'client' : 'http/1.1';
}

const HTTP_PROTOCOL_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** HTTP/1.1 with the names of headers as they were written, where a proxy is told so: stock Envoys put them in lower case. */
export function http1Options({ preserveHttp1HeaderCase }: ProxyHeaders): Http1ProtocolOptions | undefined {
  if (preserveHttp1HeaderCase !== true) return undefined;
  const typedConfig = packAny(PreserveCaseFormatterConfigSchema, create(PreserveCaseFormatterConfigSchema));
  return create(Http1ProtocolOptionsSchema, {
    headerKeyFormat: { headerFormat: { case: 'statefulFormatter', value: { name: 'preserve_case', typedConfig } } },
  });
}

/**
 * The cluster's protocol, with idle time, age and requests of a connection where they are set; empty where nothing is.
 *
 * @param http1 of {@link http1Options}
 */
export function protocolOptionsOf(
  protocol: UpstreamProtocol,
  pool?: ConnectionPoolSettings | undefined,
  http1?: Http1ProtocolOptions | undefined,
): Record<string, Any> {
  const idleTimeout = durationOfText(pool?.http?.idleTimeout ?? pool?.tcp?.idleTimeout);
  const maxConnectionDuration = durationOfText(pool?.tcp?.maxConnectionDuration);
  const maxRequests = pool?.http?.maxRequestsPerConnection ?? 0;
  const limited = idleTimeout !== undefined || maxConnectionDuration !== undefined || maxRequests > 0;
  if (protocol === 'http/1.1' && !limited && http1 === undefined) return {};
  const options = create(HttpProtocolOptionsSchema, {
    commonHttpProtocolOptions: limited
      ? { idleTimeout, maxConnectionDuration, maxRequestsPerConnection: maxRequests > 0 ? maxRequests : undefined }
      : undefined,
    upstreamProtocolOptions: specifierOf(protocol, pool?.http?.maxConcurrentStreams ?? 0, http1),
  });
  return { [HTTP_PROTOCOL_OPTIONS]: packAny(HttpProtocolOptionsSchema, options) };
}

function specifierOf(protocol: UpstreamProtocol, maxStreams: number, http1: Http1ProtocolOptions | undefined) {
  const http2 = maxStreams > 0 ? { maxConcurrentStreams: maxStreams } : {};
  if (protocol === 'client') {
    const value = { httpProtocolOptions: http1 ?? {}, http2ProtocolOptions: http2 };
    return { case: 'useDownstreamProtocolConfig' as const, value };
  }
  const protocolConfig =
    protocol === 'http/2'
      ? { case: 'http2ProtocolOptions' as const, value: http2 }
      : { case: 'httpProtocolOptions' as const, value: http1 ?? {} };
  return { case: 'explicitHttpConfig' as const, value: { protocolConfig } };
}
