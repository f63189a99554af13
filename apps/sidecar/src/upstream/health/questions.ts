// Health checks: what checks by request ask, and how they judge the answer.

import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import * as L from '@lateen/filters-wasm';
import { unaryBody, unaryMessage } from '../../codec/grpc-message.js';
import { methodOf } from '../calls/http-call.js';
import type { CheckResult } from './endpoint-health.js';
import { ExpectedBytes } from './expected-bytes.js';
import type { CheckSettings, StatusRange } from './health-settings.js';
import type { AskedQuestion } from './request-check.js';

/** Requests that would have a body say that they have none, as all that the proxy sends. */
const SAYS_EMPTY = new Set(['POST', 'PUT', 'PATCH', 'OPTIONS']);
const WELL: CheckResult = { ok: true };

function unwell(reason: string, retriable: boolean): CheckResult {
  return { ok: false, kind: 'active', retriable, reason };
}

function isIn(status: number, ranges: readonly StatusRange[]): boolean {
  return ranges.some(({ start, end }) => status >= start && status < end);
}

function headOf(method: string, path: string, host: string, headers: readonly (readonly [string, string])[]): Buffer {
  const lines = [`${method} ${path} HTTP/1.1`, `host: ${host}`, ...headers.map(([name, value]) => `${name}: ${value}`)];
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

function holds(body: Buffer, receive: readonly string[]): boolean {
  const expected = new ExpectedBytes(receive.map((digits) => Buffer.from(digits, 'hex')));
  expected.add(body);
  return expected.complete;
}

/** @param host what the configuration of the endpoint or of the check says, else the cluster's name */
export function httpQuestion(settings: CheckSettings & { kind: 'http' }, host: string): AskedQuestion {
  const { method, path, expected, retriable, receive, maxBodyBytes } = settings;
  const empty: [string, string][] = SAYS_EMPTY.has(method) ? [['content-length', '0']] : [];
  return {
    method: methodOf(method),
    bytes: [headOf(method, path, host, [...settings.headers, ...empty])],
    bodyChunked: false,
    maxBodyBytes,
    // As Envoy: what the body holds comes before the status, and is no matter of thresholds.
    judge: (status, _grpcStatus, body) => {
      if (receive.length > 0 && !holds(body, receive)) {
        return unwell(`its answer (status ${status}) does not hold what is expected`, false);
      }
      return isIn(status, expected) ? WELL : unwell(`it answered with status ${status}`, isIn(status, retriable));
    },
  };
}

/** grpc.health.v1.HealthCheckResponse.ServingStatus. */
const SERVING = 1;
const SERVING_STATUS = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];
/** The answer is a single small field. */
const MAX_ANSWER_BYTES = 1_024;

/** grpc.health.v1.Health/Check. */
export function grpcQuestion(settings: CheckSettings & { kind: 'grpc' }, host: string): AskedQuestion {
  const { serviceName } = settings;
  const message = new BinaryWriter();
  if (serviceName !== '') message.tag(1, 2).string(serviceName);
  const headers: (readonly [string, string])[] = [
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ['transfer-encoding', 'chunked'],
    ...settings.headers,
  ];
  return {
    method: L.METHOD_POST,
    bytes: [headOf('POST', '/grpc.health.v1.Health/Check', host, headers), unaryBody(message.finish())],
    bodyChunked: true,
    maxBodyBytes: MAX_ANSWER_BYTES,
    judge: judgeGrpc,
  };
}

function judgeGrpc(status: number, grpcStatus: number, body: Buffer): CheckResult {
  if (status !== 200) return unwell(`it answered with status ${status}`, false);
  if (grpcStatus !== 0) return unwell(grpcStatus < 0 ? 'no grpc-status' : `grpc-status ${grpcStatus}`, false);
  const serving = servingStatus(body);
  if (serving === SERVING) return WELL;
  return unwell(
    serving === undefined ? 'its answer is not a HealthCheckResponse' : (SERVING_STATUS[serving] ?? `${serving}`),
    false,
  );
}

/** Of one whole message without compression. */
function servingStatus(body: Buffer): number | undefined {
  const message = unaryMessage(body);
  if (message === undefined) return undefined;
  try {
    const reader = new BinaryReader(message);
    let status = 0;
    while (reader.pos < reader.len) {
      const [field, type] = reader.tag();
      if (field === 1 && type === 0) status = reader.int32();
      else reader.skip(type, field);
    }
    return status;
  } catch {
    // Not protobuf: the caller says so.
    return undefined;
  }
}
