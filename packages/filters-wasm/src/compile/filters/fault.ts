// Envoy's fault filter as an immutable record: how long and how often requests are held back, which are answered with an error.

import {
  type FaultDelay,
  FaultDelaySchema,
} from '@lateen/xds-proto/envoy/extensions/filters/common/fault/v3/fault_pb.js';
import {
  type FaultAbort,
  FaultAbortSchema,
  type HTTPFault,
  HTTPFaultSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/http/fault/v3/fault_pb.js';
import * as F from '../../filter-layout.js';
import { BlobWriter } from '../blob-writer.js';
import { durationMs } from '../duration.js';
import { millionths } from '../fraction.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';

/** The record's bytes; undefined where the configuration does nothing. */
export function compileFault(problems: ProblemList, path: string, config: HTTPFault): Uint8Array | undefined {
  // There is no runtime that could change the values, and statistics are kept by response flag.
  refuseOtherFields(
    problems,
    path,
    HTTPFaultSchema,
    config,
    `delay abort delay_percent_runtime abort_percent_runtime delay_duration_runtime abort_http_status_runtime
     max_active_faults_runtime response_rate_limit_percent_runtime abort_grpc_status_runtime
     disable_downstream_cluster_stats`,
  );
  if (config.delay === undefined && config.abort === undefined) return undefined;
  const blob = new BlobWriter();
  blob.reserve(F.FAULT_BYTES);
  if (config.delay !== undefined) writeDelay(problems, blob, join(path, 'delay'), config.delay);
  if (config.abort !== undefined) writeAbort(problems, blob, join(path, 'abort'), config.abort);
  return blob.finish();
}

function writeDelay(problems: ProblemList, blob: BlobWriter, path: string, delay: FaultDelay): void {
  refuseOtherFields(problems, path, FaultDelaySchema, delay, 'fixed_delay header_delay percentage');
  const { faultDelaySecifier: kind } = delay;
  if (kind.case === 'headerDelay') {
    problems.add(join(path, 'header_delay'), 'is not supported: a client must not choose faults; use fixed_delay');
    return;
  }
  const delayMs = durationMs(problems, join(path, 'fixed_delay'), kind.value, 0);
  if (kind.case === undefined) problems.add(path, 'needs fixed_delay');
  else if (delayMs === 0) problems.add(join(path, 'fixed_delay'), 'must be greater than 0');
  blob.int(F.FAULT_DELAY_MS, delayMs);
  blob.int(F.FAULT_DELAY_SHARE, Math.max(millionths(delay.percentage), 0));
}

/** The last of gRPC's statuses. */
const MAX_GRPC_STATUS = 16;

function writeAbort(problems: ProblemList, blob: BlobWriter, path: string, abort: FaultAbort): void {
  refuseOtherFields(problems, path, FaultAbortSchema, abort, 'http_status grpc_status header_abort percentage');
  const { errorType: kind } = abort;
  switch (kind.case) {
    case 'headerAbort':
      problems.add(join(path, 'header_abort'), 'is not supported: a client must not choose faults; use http_status');
      return;
    case 'grpcStatus':
      if (kind.value > MAX_GRPC_STATUS) {
        problems.add(join(path, 'grpc_status'), `${kind.value} is not from 0 to ${MAX_GRPC_STATUS}`);
      }
      // Envoy's status for whoever is not gRPC.
      blob.int(F.FAULT_ABORT_STATUS, 200 | ((kind.value + 1) << F.FAULT_GRPC_SHIFT));
      blob.int(F.FAULT_ABORT_SHARE, Math.max(millionths(abort.percentage), 0));
      return;
    case undefined:
      problems.add(path, 'needs http_status or grpc_status');
      return;
    case 'httpStatus':
  }
  if (kind.value < 200 || kind.value > 599)
    problems.add(join(path, 'http_status'), `${kind.value} is not from 200 to 599`);
  blob.int(F.FAULT_ABORT_STATUS, kind.value);
  blob.int(F.FAULT_ABORT_SHARE, Math.max(millionths(abort.percentage), 0));
}
