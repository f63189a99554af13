// Upstream: which of HTTP's versions a cluster is spoken to in.

import type { Cluster } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import type { Http2ProtocolOptions } from '@lateen/xds-proto/envoy/config/core/v3/protocol_pb.js';
import type { HttpProtocolOptions } from '@lateen/xds-proto/envoy/extensions/upstreams/http/v3/http_protocol_options_pb.js';
import { compileHttp2Settings, type Http2Settings } from '../codec/http2/http2-settings.js';

export interface UpstreamHttp {
  /** `negotiated`: by ALPN; `downstream`: what the client speaks. */
  readonly protocol: 'http1' | 'http2' | 'negotiated' | 'downstream';
  readonly http2: Http2Settings;
  /** Changes with anything that connections depend on. */
  readonly key: string;
}

/** From HttpProtocolOptions, or the cluster's own http2_protocol_options, which they replace. */
export function compileUpstreamHttp(cluster: Cluster, options: HttpProtocolOptions | undefined): UpstreamHttp {
  const [protocol, http2] = chosen(cluster, options);
  const settings = compileHttp2Settings(http2, 'upstream');
  return { protocol, http2: settings, key: JSON.stringify([protocol, settings]) };
}

function chosen(
  cluster: Cluster,
  options: HttpProtocolOptions | undefined,
): [UpstreamHttp['protocol'], Http2ProtocolOptions | undefined] {
  const kind = options?.upstreamProtocolOptions;
  switch (kind?.case) {
    case 'explicitHttpConfig': {
      const { protocolConfig } = kind.value;
      return protocolConfig.case === 'http2ProtocolOptions' ? ['http2', protocolConfig.value] : ['http1', undefined];
    }
    case 'useDownstreamProtocolConfig':
      return ['downstream', kind.value.http2ProtocolOptions];
    case 'autoConfig':
      return ['negotiated', kind.value.http2ProtocolOptions];
    default:
      return cluster.http2ProtocolOptions === undefined
        ? ['http1', undefined]
        : ['http2', cluster.http2ProtocolOptions];
  }
}
