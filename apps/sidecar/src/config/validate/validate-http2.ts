// Resource validation: the values of HTTP/2's options, within Envoy's ranges.

import type { Http2ProtocolOptions } from '@lateen/xds-proto/envoy/config/core/v3/protocol_pb.js';
import { checkDuration, type ProblemCollector } from './field-checks.js';

const MAX = 2 ** 31 - 1;
const MIN_WINDOW = 65_535;

export function checkHttp2Options(
  options: Http2ProtocolOptions | undefined,
  path: string,
  out: ProblemCollector,
): void {
  if (options === undefined) return;
  const check = (name: string, value: number | undefined, min: number, max = 2 ** 32 - 1): void => {
    if (value !== undefined && (value < min || value > max)) {
      out.add(`${path}.${name}`, `${value} is not between ${min} and ${max}`);
    }
  };
  check('max_concurrent_streams', options.maxConcurrentStreams, 1, MAX);
  check('initial_stream_window_size', options.initialStreamWindowSize, MIN_WINDOW, MAX);
  check('initial_connection_window_size', options.initialConnectionWindowSize, MIN_WINDOW, MAX);
  check('max_outbound_frames', options.maxOutboundFrames, 1);
  check('max_outbound_control_frames', options.maxOutboundControlFrames, 1);
  check(
    'max_inbound_window_update_frames_per_data_frame_sent',
    options.maxInboundWindowUpdateFramesPerDataFrameSent,
    1,
  );
  const keepalive = options.connectionKeepalive;
  if (keepalive === undefined) return;
  const at = `${path}.connection_keepalive`;
  checkDuration(keepalive.interval, `${at}.interval`, out, 1);
  if (keepalive.timeout === undefined) out.add(`${at}.timeout`, 'is required');
  checkDuration(keepalive.timeout, `${at}.timeout`, out, 1);
}
