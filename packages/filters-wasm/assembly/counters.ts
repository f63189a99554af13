// Request counters and histograms by series; a series is a key of six numbers. Bounded: what does not fit is counted apart.
import { SERIES_COUNT, SERIES_INDEX, SERIES_INDEX_COUNT, SERIES_REGION, SERIES_BYTES } from '../src/layout';
import {
  SERIES_CODE, SERIES_CONNECTION, SERIES_CONTEXT, SERIES_DURATION_BUCKETS, SERIES_DURATION_SUM, SERIES_FLAGS,
  SERIES_GRPC_STATUS, SERIES_HASH, SERIES_PEER, SERIES_REQUESTS, SERIES_REQUEST_BYTES_BUCKETS,
  SERIES_REQUEST_BYTES_SUM, SERIES_RESPONSE_BYTES_BUCKETS, SERIES_RESPONSE_BYTES_SUM,
} from '../src/table-layout';

/** Series 0 is the overflow's. */
let count: i32 = 1;
let overflow: i32 = 0;

/** See core-functions.ts. */
export function record(
  context: i32, peer: i32, connection: i32, code: i32, flags: i32, grpcStatus: i32, durationMs: f64, requestBytes: f64,
  responseBytes: f64,
): i32 {
  const series = findSeries(context, peer, connection, code, flags, grpcStatus);
  store<f64>(series + SERIES_REQUESTS, load<f64>(series + SERIES_REQUESTS) + 1);
  observe(series + SERIES_DURATION_SUM, series + SERIES_DURATION_BUCKETS, durationMs);
  observe(series + SERIES_REQUEST_BYTES_SUM, series + SERIES_REQUEST_BYTES_BUCKETS, requestBytes);
  observe(series + SERIES_RESPONSE_BYTES_SUM, series + SERIES_RESPONSE_BYTES_BUCKETS, responseBytes);
  return series;
}

function findSeries(context: i32, peer: i32, connection: i32, code: i32, flags: i32, grpcStatus: i32): i32 {
  let mixed: u64 = <u64>(<u32>context) | (<u64>(<u32>peer) << 32);
  mixed *= 0x9e3779b97f4a7c15;
  mixed ^= (mixed >> 29) ^ <u64>(<u32>connection) ^ (<u64>(<u32>code) << 32);
  mixed *= 0xff51afd7ed558ccd;
  mixed ^= (mixed >> 32) ^ <u64>(<u32>flags) ^ (<u64>(<u32>grpcStatus) << 32);
  mixed *= 0xc4ceb9fe1a85ec53;
  const hash = <i32>(mixed >> 32);
  let place = hash & (SERIES_INDEX_COUNT - 1);
  while (true) {
    const index = load<i32>(SERIES_INDEX + (place << 2));
    if (index == 0) break;
    const series = SERIES_REGION + index * SERIES_BYTES;
    if (
      load<i32>(series + SERIES_HASH) == hash && load<i32>(series + SERIES_CONTEXT) == context &&
      load<i32>(series + SERIES_PEER) == peer && load<i32>(series + SERIES_CONNECTION) == connection &&
      load<i32>(series + SERIES_CODE) == code && load<i32>(series + SERIES_FLAGS) == flags &&
      load<i32>(series + SERIES_GRPC_STATUS) == grpcStatus
    ) {
      return series;
    }
    place = (place + 1) & (SERIES_INDEX_COUNT - 1);
  }
  if (count >= SERIES_COUNT) {
    overflow++;
    return SERIES_REGION;
  }
  const series = SERIES_REGION + count * SERIES_BYTES;
  store<i32>(SERIES_INDEX + (place << 2), count);
  count++;
  store<i32>(series + SERIES_HASH, hash);
  store<i32>(series + SERIES_CONTEXT, context);
  store<i32>(series + SERIES_PEER, peer);
  store<i32>(series + SERIES_CONNECTION, connection);
  store<i32>(series + SERIES_CODE, code);
  store<i32>(series + SERIES_FLAGS, flags);
  store<i32>(series + SERIES_GRPC_STATUS, grpcStatus);
  return series;
}

function observe(sum: i32, buckets: i32, value: f64): void {
  store<f64>(sum, load<f64>(sum) + value);
  const counter = buckets + (bucketOf(value) << 2);
  store<u32>(counter, load<u32>(counter) + 1);
}

/** Index of the first of SERIES_BUCKET_BOUNDS that is not below the value; 19 = +Inf. A test pins the bounds. */
function bucketOf(value: f64): i32 {
  if (value <= 250) {
    if (value <= 10) return value <= 1 ? (value <= 0.5 ? 0 : 1) : value <= 5 ? 2 : 3;
    return value <= 50 ? (value <= 25 ? 4 : 5) : value <= 100 ? 6 : 7;
  }
  if (value <= 10000) return value <= 1000 ? (value <= 500 ? 8 : 9) : value <= 2500 ? 10 : value <= 5000 ? 11 : 12;
  if (value <= 300000) return value <= 30000 ? 13 : value <= 60000 ? 14 : 15;
  if (value <= 600000) return 16;
  return value <= 1800000 ? 17 : value <= 3600000 ? 18 : 19;
}

export function seriesCount(): i32 {
  return count;
}

export function seriesOverflow(): i32 {
  return overflow;
}
