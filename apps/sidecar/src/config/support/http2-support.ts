// Support table: HTTP/2, on connections of clients and to upstreams.

import type { SupportTable } from './support-types.js';

const UPSTREAM = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

export const HTTP_2_SUPPORT: SupportTable = {
  'envoy.config.core.v3.Http2ProtocolOptions': {
    acted: [
      'max_concurrent_streams',
      'initial_stream_window_size',
      'initial_connection_window_size',
      'allow_connect',
      'max_outbound_frames',
      'max_outbound_control_frames',
      'max_consecutive_inbound_frames_with_empty_payload',
      'max_inbound_priority_frames_per_stream',
      'max_inbound_window_update_frames_per_data_frame_sent',
      'stream_error_on_invalid_http_messaging',
      'override_stream_error_on_invalid_http_message',
      'connection_keepalive',
    ],
    inert: {
      hpack_table_size: 'heads are written without a table; peers may use the 4096 bytes of the standard',
      use_oghttp2_codec: 'there is one codec',
    },
    refused: {
      allow_metadata: 'METADATA frames are not supported',
      custom_settings_parameters: 'settings have fields of their own',
    },
    notes: {
      max_concurrent_streams: '100 toward clients where it is not set, as Envoy recommends at the edge',
      initial_stream_window_size: '256 KiB where it is not set',
      initial_connection_window_size: '1 MiB where it is not set',
      max_outbound_frames: 'counted since the socket had taken everything; toward upstreams as well',
    },
  },
  'envoy.config.core.v3.KeepaliveSettings': {
    acted: ['interval', 'timeout', 'interval_jitter'],
    refused: { connection_idle_interval: 'PINGs are only sent at an interval' },
  },
  'envoy.type.v3.Percent': { acted: ['value'] },
  [UPSTREAM]: {
    acted: ['common_http_protocol_options', 'explicit_http_config', 'use_downstream_protocol_config', 'auto_config'],
  },
  [`${UPSTREAM}.ExplicitHttpConfig`]: {
    acted: ['http_protocol_options', 'http2_protocol_options'],
    refused: { http3_protocol_options: 'HTTP/3 is not supported' },
  },
  [`${UPSTREAM}.UseDownstreamHttpConfig`]: {
    acted: ['http_protocol_options', 'http2_protocol_options'],
    refused: { http3_protocol_options: 'HTTP/3 is not supported' },
  },
  [`${UPSTREAM}.AutoHttpConfig`]: {
    acted: ['http_protocol_options', 'http2_protocol_options'],
    refused: {
      http3_protocol_options: 'HTTP/3 is not supported',
      alternate_protocols_cache_options: 'HTTP/3 is not supported',
    },
  },
};
