// Rate limit service: what its answer means for the request and for the response.

import { fromBinary } from '@bufbuild/protobuf';
import { HEAD_LINES_MAX_BYTES, isOwnHeader } from '@lateen/filters-wasm';
import type { HeaderValue } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  RateLimitResponse_Code as Code,
  type RateLimitResponse_DescriptorStatus as DescriptorStatus,
  type RateLimitResponse,
  RateLimitResponseSchema,
  RateLimitResponse_RateLimit_Unit as Unit,
} from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';

export interface LimitAnswer {
  readonly over: boolean;
  /** Text of a refusal. */
  readonly body: string;
  /** Header lines, each with its end: for the upstream, and for the client. */
  readonly requestLines: string;
  readonly responseLines: string;
}

const UNIT_SECONDS: Readonly<Record<Unit, number>> = {
  [Unit.UNKNOWN]: 0,
  [Unit.SECOND]: 1,
  [Unit.MINUTE]: 60,
  [Unit.HOUR]: 3_600,
  [Unit.DAY]: 86_400,
  [Unit.MONTH]: 2_592_000,
  [Unit.YEAR]: 31_536_000,
};
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** What would end the header or the message. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are refused
const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/**
 * @param tellsLimits the client is told how much is left (`x-ratelimit-*`)
 * @param marksRefusals a refusal says `x-envoy-ratelimited`
 * @returns undefined where the bytes are no RateLimitResponse, or it says neither yes nor no
 */
export function readLimitAnswer(
  message: Uint8Array,
  tellsLimits: boolean,
  marksRefusals: boolean,
): LimitAnswer | undefined {
  let answer: RateLimitResponse;
  try {
    answer = fromBinary(RateLimitResponseSchema, message);
  } catch {
    // Not protobuf: the caller counts it as an error of the service.
    return undefined;
  }
  if (answer.overallCode === Code.UNKNOWN) return undefined;
  const over = answer.overallCode === Code.OVER_LIMIT;
  const mark = over && marksRefusals ? 'x-envoy-ratelimited: true\r\n' : '';
  const limits = tellsLimits ? limitLines(answer.statuses) : '';
  return {
    over,
    body: over ? Buffer.from(answer.rawBody).toString('latin1') : '',
    requestLines: over ? '' : headerLines(answer.requestHeadersToAdd),
    responseLines: headerLines(answer.responseHeadersToAdd) + mark + limits,
  };
}

/** Header lines with further ones behind them, as far as heads have room for what services say. */
export function joinLines(lines: string, more: string): string {
  return lines.length + more.length <= HEAD_LINES_MAX_BYTES ? lines + more : lines;
}

/** As a head has it: a character for each byte, so that none can become the end of a line. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Headers that cannot be passed on are left out. */
function headerLines(headers: readonly HeaderValue[]): string {
  let lines = '';
  for (const { key, value, rawValue } of headers) {
    const name = key.toLowerCase();
    const text = value === '' ? Buffer.from(rawValue).toString('latin1') : bytesOf(value);
    if (!HEADER_NAME.test(name) || isOwnHeader(name) || BAD_VALUE.test(text)) continue;
    const line = `${name}: ${text}\r\n`;
    if (lines.length + line.length <= HEAD_LINES_MAX_BYTES / 2) lines += line;
  }
  return lines;
}

/** As draft 3 of the RateLimit headers, in Envoy's words: the tightest limit, and all that there are. */
function limitLines(statuses: readonly DescriptorStatus[]): string {
  let tightest: DescriptorStatus | undefined;
  let policies = '';
  for (const status of statuses) {
    const { currentLimit } = status;
    if (currentLimit === undefined) continue;
    if (tightest === undefined || status.limitRemaining < tightest.limitRemaining) tightest = status;
    const windowSeconds = UNIT_SECONDS[currentLimit.unit] ?? 0;
    if (windowSeconds === 0) continue;
    // A name that could end the line is left out.
    const name = currentLimit.name === '' || BAD_VALUE.test(currentLimit.name) ? '' : bytesOf(currentLimit.name);
    const policy = `, ${currentLimit.requestsPerUnit};w=${windowSeconds}${name === '' ? '' : `;name="${name}"`}`;
    if (policies.length + policy.length <= HEAD_LINES_MAX_BYTES / 4) policies += policy;
  }
  if (tightest?.currentLimit === undefined) return '';
  return (
    `x-ratelimit-limit: ${tightest.currentLimit.requestsPerUnit}${policies}\r\n` +
    `x-ratelimit-remaining: ${tightest.limitRemaining}\r\n` +
    `x-ratelimit-reset: ${tightest.durationUntilReset?.seconds ?? 0n}\r\n`
  );
}
