// The data plane core. What each function does is told in ../src/core-functions.ts, the structs in ../src/layout.ts.
// Reading order: http1/request, decide/route-match, decide/request-hash, decide/balancing/load-balance, http1/write-upstream-head, http1/response,
// http1/write-downstream-head; then http1/chunked, http2/decode-head, http2/encode-head, peers and counters.
import { MEMORY_BYTES } from '../src/layout';

export { parseRequest } from './http1/request';
export { generation, route, setGeneration } from './decide/route-match';
export { chargeQuotas } from './filters/quota';
export { chargeLimits } from './filters/rate-limit';
export { describeLimits } from './filters/describe-limits';
export { decideCors } from './filters/cors';
export { decideFault } from './filters/fault';
export { checkRules } from './rbac/check-rules';
export { matchesRegex } from './decide/regex';
export { hash64 } from './decide/hash64';
export { hashRequest } from './decide/request-hash';
export { acquire, endpointBegin, endpointEnd, pick, release, triedPriorities } from './decide/balancing/load-balance';
export { setAttemptCount, writeUpstreamHead } from './http1/write-upstream-head';
export { parseResponse } from './http1/response';
export { isRetriableStatus } from './http1/retriable-status';
export { grpcStatusOf } from './grpc/grpc-status';
export { writeDownstreamHead, writeLocalReply } from './http1/write-downstream-head';
export { h2DecodeHead } from './http2/decode-head';
export { h2ResetDecoder, h2SetTableLimit } from './http2/dynamic-table';
export { h2EncodeHead } from './http2/encode-head';
export { resetChunks, scanChunks } from './http1/chunked';
export { internPeer, peerCount, peerOverflow } from './peers';
export { record, seriesCount, seriesOverflow } from './counters';
export { seed } from './random';
export { hashName } from './ascii';

/** Copies within the memory. A range that is not inside it traps instead of corrupting. */
export function copy(to: i32, from: i32, length: i32): void {
  if (length < 0 || to < 0 || from < 0 || to > MEMORY_BYTES - length || from > MEMORY_BYTES - length) unreachable();
  memory.copy(to, from, length);
}
