// Words that the core compares and writes, put into its memory once, so that the WebAssembly module holds no strings.
import { STATUS_CODES } from 'node:http';
import * as L from './layout.js';
import * as T from './table-layout.js';

const TEXTS: Readonly<Record<number, string>> = {
  [T.KNOWN_HOST]: 'host',
  [T.KNOWN_CONTENT_LENGTH]: 'content-length',
  [T.KNOWN_TRANSFER_ENCODING]: 'transfer-encoding',
  [T.KNOWN_CONNECTION]: 'connection',
  [T.KNOWN_KEEP_ALIVE]: 'keep-alive',
  [T.KNOWN_PROXY_CONNECTION]: 'proxy-connection',
  [T.KNOWN_TE]: 'te',
  [T.KNOWN_TRAILER]: 'trailer',
  [T.KNOWN_UPGRADE]: 'upgrade',
  [T.KNOWN_PROXY_AUTHENTICATE]: 'proxy-authenticate',
  [T.KNOWN_PROXY_AUTHORIZATION]: 'proxy-authorization',
  [T.KNOWN_HTTP2_SETTINGS]: 'http2-settings',
  [T.KNOWN_EXPECT]: 'expect',
  [T.KNOWN_REQUEST_ID]: 'x-request-id',
  [T.KNOWN_FORWARDED_PROTO]: 'x-forwarded-proto',
  [T.KNOWN_FORWARDED_FOR]: 'x-forwarded-for',
  [T.KNOWN_CLIENT_CERT]: 'x-forwarded-client-cert',
  [T.KNOWN_PEER_METADATA]: 'x-envoy-peer-metadata',
  [T.KNOWN_PEER_METADATA_ID]: 'x-envoy-peer-metadata-id',
  [T.KNOWN_ATTEMPT_COUNT]: 'x-envoy-attempt-count',
  [T.KNOWN_SERVICE_TIME]: 'x-envoy-upstream-service-time',
  [T.KNOWN_SERVER]: 'server',
  [T.KNOWN_DATE]: 'date',
  [T.KNOWN_ORIGINAL_PATH]: 'x-envoy-original-path',
  [T.KNOWN_GRPC_STATUS]: 'grpc-status',
  [T.KNOWN_CONTENT_TYPE]: 'content-type',
  [T.KNOWN_GRPC_TIMEOUT]: 'grpc-timeout',
  [T.TEXT_CLOSE]: 'close',
  [T.TEXT_KEEP_ALIVE]: 'keep-alive',
  [T.TEXT_UPGRADE]: 'upgrade',
  [T.TEXT_CHUNKED]: 'chunked',
  [T.TEXT_WEBSOCKET]: 'websocket',
  [T.TEXT_CONTINUE]: '100-continue',
  [T.TEXT_HTTP]: 'http',
  [T.TEXT_HTTPS]: 'https',
  [T.TEXT_VERSION_LINE_END]: ' HTTP/1.1\r\n',
  [T.TEXT_VERSION]: 'HTTP/1.1',
  [T.TEXT_CHUNKED_LINE]: 'transfer-encoding: chunked\r\n',
  [T.TEXT_CONNECTION_CLOSE_LINE]: 'connection: close\r\n',
  [T.TEXT_CONNECTION_KEEP_ALIVE_LINE]: 'connection: keep-alive\r\n',
  [T.TEXT_CONNECTION_UPGRADE_LINE]: 'connection: Upgrade\r\n',
  [T.TEXT_TEXT_PLAIN_LINE]: 'content-type: text/plain\r\n',
  [T.TEXT_LOCATION]: 'location',
  [T.TEXT_GET]: 'GET',
  [T.TEXT_HEAD]: 'HEAD',
  [T.TEXT_POST]: 'POST',
  [T.TEXT_PUT]: 'PUT',
  [T.TEXT_DELETE]: 'DELETE',
  [T.TEXT_OPTIONS]: 'OPTIONS',
  [T.TEXT_PATCH]: 'PATCH',
  [T.TEXT_CONNECT]: 'CONNECT',
  [T.TEXT_TRACE]: 'TRACE',
  [T.TEXT_UNKNOWN_REASON]: 'Unknown',
  [T.TEXT_TRAILERS]: 'trailers',
  [T.TEXT_GRPC]: 'application/grpc',
  [T.TEXT_ORIGIN]: 'origin',
  [T.TEXT_REQUEST_METHOD]: 'access-control-request-method',
  [T.TEXT_REQUEST_PRIVATE_NETWORK]: 'access-control-request-private-network',
  [T.TEXT_ALLOW_ORIGIN]: 'access-control-allow-origin',
  [T.TEXT_TRUE]: 'true',
  [T.TEXT_GRPC_MESSAGE]: 'grpc-message',
  [T.TEXT_NO_BODY_LINE]: 'content-length: 0\r\n',
  [T.TEXT_INTERNAL]: 'x-envoy-internal',
  [T.TEXT_FORWARDED_HOST]: 'x-forwarded-host',
  [T.TEXT_FORWARDED_PORT]: 'x-forwarded-port',
};

/** Fills TEXT_TABLE, STATUS_TEXTS and KNOWN_HEADERS. `hashName` is the core's own. */
export function writeCoreTexts(
  bytes: Buffer,
  i32: Int32Array,
  hashName: (offset: number, length: number) => number,
): void {
  if (L.TEXT_TABLE + T.TEXT_COUNT * 8 > L.STATUS_TEXTS) throw new RangeError('the table of texts is too small');
  let end = L.TEXT_BYTES;
  const put = (text: string) => {
    const offset = end;
    bytes.write(text, offset, 'latin1');
    end += (text.length + 7) & ~7;
    if (end + 16 > L.TEXT_BYTES_END) throw new RangeError('the region for texts is too small');
    return offset;
  };
  for (let id = 1; id < T.TEXT_COUNT; id++) {
    const text = TEXTS[id];
    if (text === undefined) throw new Error(`text ${id} has no words`);
    const offset = put(text);
    i32[(L.TEXT_TABLE + id * 8) >> 2] = offset;
    i32[(L.TEXT_TABLE + id * 8 + 4) >> 2] = text.length;
    if (id < T.KNOWN_COUNT) addKnownHeader(i32, hashName(offset, text.length), id, offset, text.length);
  }
  for (let status = 100; status < 600; status++) {
    const reason = STATUS_CODES[status];
    if (reason === undefined) continue;
    i32[(L.STATUS_TEXTS + (status - 100) * 4) >> 2] = (put(reason) << 8) | reason.length;
  }
}

function addKnownHeader(i32: Int32Array, hash: number, id: number, offset: number, length: number): void {
  let place = hash & (L.KNOWN_HEADERS_COUNT - 1);
  while (i32[((L.KNOWN_HEADERS + place * 16) >> 2) + 1] !== 0) place = (place + 1) & (L.KNOWN_HEADERS_COUNT - 1);
  const entry = (L.KNOWN_HEADERS + place * 16) >> 2;
  i32[entry] = hash;
  i32[entry + 1] = id;
  i32[entry + 2] = offset;
  i32[entry + 3] = length;
}
