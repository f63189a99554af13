// Access log: text, JSON and time formats.

import { describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../data-plane.js';
import { compileJsonFormat, compileTextFormat, DEFAULT_TEXT_FORMAT } from './access-log-format.js';
import { createTimeFormatter } from './time-format.js';

function record(changes: Partial<AccessLogRecord> = {}): AccessLogRecord {
  const request: Record<string, string> = { 'user-agent': 'curl/8', 'x-request-id': 'id-1' };
  return {
    startTimeMs: Date.UTC(2026, 10, 3, 4, 5, 6, 78),
    durationMs: 12.4,
    method: 'GET',
    path: '/new',
    authority: 'reviews:9080',
    protocol: 'HTTP/1.1',
    responseCode: 200,
    responseFlags: '-',
    responseCodeDetails: 'via_upstream',
    grpcStatus: 14,
    connectionTerminationDetails: undefined,
    upstreamTransportFailureReason: undefined,
    bytesReceived: 1,
    bytesSent: 2,
    upstreamServiceTimeMs: 3,
    upstreamHost: '10.0.0.1:9080',
    upstreamCluster: 'outbound|9080||reviews',
    upstreamStatName: 'reviews_9080',
    upstreamLocalAddress: '10.0.0.2:40000',
    downstreamLocalAddress: '10.0.0.2:15001',
    downstreamRemoteAddress: '[fd00::1]:50000',
    requestedServerName: undefined,
    routeName: 'default',
    downstreamPeerUriSan: 'spiffe://cluster.local/ns/a/sa/b',
    metadata: (name) => (name === 'envoy.filters.http.rbac:shadow_engine_result' ? 'denied' : undefined),
    attemptCount: 1,
    requestHeader: (name) => request[name],
    responseHeader: (name) => (name === 'x-envoy-upstream-service-time' ? '3' : undefined),
    ...changes,
  };
}

/** The keys of Istio's JSON access log. */
const ISTIO_JSON = {
  start_time: '%START_TIME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  route_name: '%ROUTE_NAME%',
};

describe('compileTextFormat', () => {
  it("writes Istio's default line", () => {
    expect(compileTextFormat(DEFAULT_TEXT_FORMAT)(record())).toBe(
      '[2026-11-03T04:05:06.078Z] "GET /new HTTP/1.1" 200 - via_upstream - "-" 1 2 12 3 "-" "curl/8" "id-1" ' +
        '"reviews:9080" "10.0.0.1:9080" outbound|9080||reviews 10.0.0.2:40000 10.0.0.2:15001 [fd00::1]:50000 - default\n',
    );
  });

  it.each([
    ['%REQ(x-missing?user-agent):4%', 'curl'],
    ['%REQ(:AUTHORITY)% %RESP(:STATUS)%', 'reviews:9080 200'],
    ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%', 'fd00::1 50000'],
    ['100%% %RESPONSE_CODE%', '100% 200'],
    ['%DOWNSTREAM_PEER_URI_SAN%', 'spiffe://cluster.local/ns/a/sa/b'],
    ['%REQ(X-NONE)%', '-'],
    [
      '%GRPC_STATUS% %GRPC_STATUS_NUMBER% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)%',
      'Unavailable 14 UNAVAILABLE 14',
    ],
  ])('%s', (format, line) => {
    expect(compileTextFormat(format)(record())).toBe(line);
  });

  it('does not let a header forge a line', () => {
    const forged = record({ requestHeader: () => 'a\nb\u0007' });
    expect(compileTextFormat('%REQ(X)%')(forged)).toBe('a\\x0ab\\x07');
  });

  it.each(['%NOPE%', '%REQ%', '%RESPONSE_CODE(x)%', 'half %', '%START_TIME(%Q)%', '%FILTER_STATE(x)%'])(
    'refuses %s',
    (format) => {
      expect(() => compileTextFormat(format)).toThrow();
    },
  );
});

describe('compileJsonFormat', () => {
  const options = { omitEmptyValues: false, sortProperties: false };
  it("writes Istio's 24 keys, typed, with null for what is missing", () => {
    const line = compileJsonFormat(ISTIO_JSON, options)(record());
    expect(line.endsWith('}\n')).toBe(true);
    const value = JSON.parse(line);
    expect(Object.keys(value)).toHaveLength(24);
    expect(value).toMatchObject({
      start_time: '2026-11-03T04:05:06.078Z',
      method: 'GET',
      response_code: 200,
      duration: 12,
      bytes_sent: 2,
      response_flags: '-',
      x_forwarded_for: null,
      requested_server_name: null,
      upstream_service_time: '3',
    });
  });

  it('nests, mixes text, sorts, and omits', () => {
    const format = { z: { a: ['%PROTOCOL%', 1, true] }, b: 'x %REQ(NONE)% y', c: '%REQ(NONE)%' };
    expect(compileJsonFormat(format, options)(record())).toBe('{"z":{"a":["HTTP/1.1",1,true]},"b":"x - y","c":null}\n');
    const omitting = compileJsonFormat(format, { omitEmptyValues: true, sortProperties: true });
    expect(omitting(record())).toBe('{"b":"x  y","z":{"a":["HTTP/1.1",1,true]}}\n');
  });

  it('names the key of an operator that is not supported', () => {
    expect(() => compileJsonFormat({ a: { b: '%NOPE%' } }, options)).toThrow('a.b: access log operator %NOPE%');
  });
});

describe('createTimeFormatter', () => {
  const time = Date.UTC(2026, 10, 3, 14, 5, 6, 78);
  it.each([
    ['%Y/%m/%d %H:%M:%S.%3f', '2026/11/03 14:05:06.078'],
    ['%s.%6f', `${Math.floor(time / 1000)}.078000`],
    ['%Y-%m-%dT%H:%M:%E3SZ', '2026-11-03T14:05:06.078Z'],
    ['%d/%b/%Y:%T %z', '03/Nov/2026:14:05:06 +0000'],
    ['%I %p %a %%', '02 PM Tue %'],
  ])('%s', (format, text) => {
    expect(createTimeFormatter(format)(time)).toBe(text);
  });
});
