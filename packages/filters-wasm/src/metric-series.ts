// Reads the request counters out of the core at scrape; record() in the core writes them.
import type { Core } from './core.js';
import * as L from './layout.js';
import * as T from './table-layout.js';

/** Upper bounds of the histograms' buckets (ms or bytes); one more bucket is +Inf. The same as Istio's standard metrics. */
export const SERIES_BUCKET_BOUNDS: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

/** One series: the embedder's key and its counts. Histogram counters are per bucket, not cumulative; the last is +Inf. */
export interface MetricSeries {
  readonly context: number;
  readonly peer: number;
  readonly connection: number;
  readonly code: number;
  readonly flags: number;
  readonly grpcStatus: number;
  readonly requests: number;
  /** Messages of gRPC in requests and in responses. */
  readonly requestMessages: number;
  readonly responseMessages: number;
  readonly durationMs: Histogram;
  readonly requestBytes: Histogram;
  readonly responseBytes: Histogram;
}

export interface Histogram {
  readonly sum: number;
  readonly buckets: readonly number[];
}

/** All series, in the order in which they were first seen. Series 0 holds what did not fit; it is listed if it counted. */
export function* readSeries(core: Core): Generator<MetricSeries> {
  const count = core.wasm.seriesCount();
  for (let index = 0; index < count; index++) {
    const base = L.SERIES_REGION + index * L.SERIES_BYTES;
    const requests = core.f64[(base + T.SERIES_REQUESTS) >> 3]!;
    if (requests === 0) continue;
    yield {
      context: core.i32[(base + T.SERIES_CONTEXT) >> 2]!,
      peer: core.i32[(base + T.SERIES_PEER) >> 2]!,
      connection: core.i32[(base + T.SERIES_CONNECTION) >> 2]!,
      code: core.i32[(base + T.SERIES_CODE) >> 2]!,
      flags: core.i32[(base + T.SERIES_FLAGS) >> 2]!,
      grpcStatus: core.i32[(base + T.SERIES_GRPC_STATUS) >> 2]!,
      requests,
      requestMessages: core.f64[(base + T.SERIES_REQUEST_MESSAGES) >> 3]!,
      responseMessages: core.f64[(base + T.SERIES_RESPONSE_MESSAGES) >> 3]!,
      durationMs: readHistogram(core, base + T.SERIES_DURATION_SUM, base + T.SERIES_DURATION_BUCKETS),
      requestBytes: readHistogram(core, base + T.SERIES_REQUEST_BYTES_SUM, base + T.SERIES_REQUEST_BYTES_BUCKETS),
      responseBytes: readHistogram(core, base + T.SERIES_RESPONSE_BYTES_SUM, base + T.SERIES_RESPONSE_BYTES_BUCKETS),
    };
  }
}

function readHistogram(core: Core, sum: number, buckets: number): Histogram {
  return {
    sum: core.f64[sum >> 3]!,
    buckets: Array.from(core.u32.subarray(buckets >> 2, (buckets >> 2) + T.SERIES_BUCKET_COUNT)),
  };
}
