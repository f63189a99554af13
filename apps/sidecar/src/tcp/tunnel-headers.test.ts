// What the request for a tunnel says besides: Envoy's append actions, and what is refused.

import { fromEnvoyJson } from '@lateen/xds-proto';
import { HeaderValueOptionSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { describe, expect, it } from 'vitest';
import { compileTunnelHeaders, tunnelHeaderProblem } from './tunnel-headers.js';

function option(key: string, value: string, extra: object = {}) {
  return fromEnvoyJson(HeaderValueOptionSchema, { header: { key, value }, ...extra });
}

describe('headers of a tunnel', () => {
  it('are added as their actions say', () => {
    const lines = compileTunnelHeaders([
      option('A', '1'),
      option('a', '2'),
      option('b', '1'),
      option('B', '100%%', { append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' }),
      option('c', '1', { append_action: 'OVERWRITE_IF_EXISTS' }),
      option('d', '1', { append_action: 'ADD_IF_ABSENT' }),
      option('d', '2', { append_action: 'ADD_IF_ABSENT' }),
      option('e', '1'),
      option('e', '2', { append: false }),
      option('f', ''),
      option('g', '', { keep_empty_value: true }),
    ]);
    expect(lines).toEqual([
      ['a', '1'],
      ['a', '2'],
      ['b', '100%'],
      ['d', '1'],
      ['e', '2'],
      ['g', ''],
    ]);
  });

  it.each([
    ['host', 'x', 'cannot be changed'],
    ['Transfer-Encoding', 'x', 'cannot be changed'],
    [':path', 'x', 'not a header name'],
    ['a b', 'x', 'not a header name'],
    ['a', 'x\r\ny: z', 'bytes'],
    ['a', '%DOWNSTREAM_REMOTE_ADDRESS%', 'operators'],
  ])('cannot be %s: %s', (key, value, problem) => {
    expect(tunnelHeaderProblem(option(key, value))).toContain(problem);
  });

  it('may be others', () => {
    for (const each of [option('Proxy-Authorization', 'Basic x'), option('a', '50%% \u00e9')]) {
      expect(tunnelHeaderProblem(each)).toBe('');
    }
  });
});
