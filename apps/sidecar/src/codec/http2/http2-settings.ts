// HTTP/2 codec: what a listener or a cluster says of its HTTP/2 connections, with Envoy's defaults.

import type { Http2ProtocolOptions } from '@lateen/xds-proto/envoy/config/core/v3/protocol_pb.js';
import { durationMs } from '../../upstream/upstream-cluster.js';

/** Envoy has 256 MiB; memory that a peer may make us hold is worth a smaller window (https://www.envoyproxy.io/docs/envoy/latest/faq/configuration/flow_control). */
const STREAM_WINDOW_BYTES = 256 * 1024;
const CONNECTION_WINDOW_BYTES = 1024 * 1024;
/** Envoy's default; Envoy recommends 100 at the edge, which is what Lateen takes for clients unless it is told otherwise. */
const DOWNSTREAM_STREAMS = 100;
const UPSTREAM_STREAMS = 2_147_483_647;

export interface Http2Settings {
  /** Streams that the peer may have open (downstream), or that we open at most (upstream). */
  readonly maxConcurrentStreams: number;
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** Extended CONNECT (RFC 8441). */
  readonly allowConnect: boolean;
  readonly maxOutboundFrames: number;
  readonly maxOutboundControlFrames: number;
  readonly maxConsecutiveEmptyFrames: number;
  readonly maxPriorityFramesPerStream: number;
  readonly maxWindowUpdatesPerDataFrame: number;
  /** A malformed message ends its stream; otherwise the whole connection, as in Envoy. */
  readonly malformedEndsStreamOnly: boolean;
  /** Between two PINGs; 0 = none are sent. */
  readonly keepaliveIntervalMs: number;
  readonly keepaliveTimeoutMs: number;
  /** Up to so much of the interval is added to it, a fraction. */
  readonly keepaliveJitter: number;
}

/** `malformedEndsStreamOnly` is what holds unless the options say it. */
export function compileHttp2Settings(
  options: Http2ProtocolOptions | undefined,
  side: 'downstream' | 'upstream',
  malformedEndsStreamOnly = false,
): Http2Settings {
  const keepalive = options?.connectionKeepalive;
  return {
    maxConcurrentStreams:
      options?.maxConcurrentStreams ?? (side === 'downstream' ? DOWNSTREAM_STREAMS : UPSTREAM_STREAMS),
    streamWindowBytes: options?.initialStreamWindowSize ?? STREAM_WINDOW_BYTES,
    connectionWindowBytes: options?.initialConnectionWindowSize ?? CONNECTION_WINDOW_BYTES,
    allowConnect: options?.allowConnect ?? false,
    maxOutboundFrames: options?.maxOutboundFrames ?? 10_000,
    maxOutboundControlFrames: options?.maxOutboundControlFrames ?? 1_000,
    maxConsecutiveEmptyFrames: options?.maxConsecutiveInboundFramesWithEmptyPayload ?? 1,
    maxPriorityFramesPerStream: options?.maxInboundPriorityFramesPerStream ?? 100,
    maxWindowUpdatesPerDataFrame: options?.maxInboundWindowUpdateFramesPerDataFrameSent ?? 10,
    malformedEndsStreamOnly:
      options?.overrideStreamErrorOnInvalidHttpMessage ??
      (options?.streamErrorOnInvalidHttpMessaging || malformedEndsStreamOnly),
    keepaliveIntervalMs: keepalive?.interval === undefined ? 0 : durationMs(keepalive.interval),
    keepaliveJitter: (keepalive?.intervalJitter?.value ?? 15) / 100,
    keepaliveTimeoutMs: keepalive?.timeout === undefined ? 0 : durationMs(keepalive.timeout),
  };
}
