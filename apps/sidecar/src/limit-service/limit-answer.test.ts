// What the answer of a rate limit service becomes, whatever it says.

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { HEAD_LINES_MAX_BYTES } from '@lateen/filters-wasm';
import {
  RateLimitResponse_Code as Code,
  RateLimitResponseSchema,
} from '@lateen/xds-proto/envoy/service/ratelimit/v3/rls_pb.js';
import { describe, expect, it } from 'vitest';
import { joinLines, readLimitAnswer } from './limit-answer.js';

const read = (answer: MessageInitShape<typeof RateLimitResponseSchema>) =>
  readLimitAnswer(toBinary(RateLimitResponseSchema, create(RateLimitResponseSchema, answer)), true, true);
const limit = (name: string) => ({ currentLimit: { requestsPerUnit: 1, unit: 1, name } });

describe('what a service says', () => {
  it('cannot end a line, whatever its characters become', () => {
    // U+010D and U+010A end in the bytes of a line's end.
    const text = 'a\u010d\u010ax-injected: 1';
    const { responseLines } = read({
      overallCode: Code.OK,
      statuses: [limit(text)],
      responseHeadersToAdd: [{ key: 'x-of', value: text }],
    })!;
    expect(Buffer.from(responseLines, 'latin1').toString('utf8')).toBe(
      `x-of: ${text}\r\nx-ratelimit-limit: 1, 1;w=1;name="${text}"\r\nx-ratelimit-remaining: 0\r\nx-ratelimit-reset: 0\r\n`,
    );
    expect(Buffer.from(responseLines, 'latin1').includes('\r\nx-injected')).toBe(false);
  });

  it('has no more room than heads have', () => {
    const headers = Array.from({ length: 100 }, (_, index) => ({ key: `x-${index}`, value: 'v'.repeat(500) }));
    const { responseLines, requestLines } = read({
      overallCode: Code.OK,
      statuses: Array.from({ length: 400 }, (_, index) => limit(`limit ${index} ${'n'.repeat(50)}`)),
      responseHeadersToAdd: headers,
      requestHeadersToAdd: headers,
    })!;
    expect(responseLines.length).toBeLessThanOrEqual(HEAD_LINES_MAX_BYTES);
    expect(responseLines).toMatch(/\r\nx-ratelimit-reset: 0\r\n$/);
    const twice = joinLines(responseLines, responseLines);
    expect(twice).toBe(responseLines);
    expect(joinLines(requestLines, requestLines)).toBe(requestLines + requestLines);
  });
});
