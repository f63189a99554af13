// Tests of reading what the load generators print.

import { expect, test } from 'vitest';
import { parseH2loadLog, parseH2loadOutput } from './h2load.js';
import { parseWrkOutput } from './wrk.js';

const WRK = `Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.05ms  416.47us   7.96ms   88.32%
    Req/Sec    61.34k     3.00k   65.61k    80.00%
  Latency Distribution
     50%  980.00us
     75%    1.21ms
     90%    1.43ms
     99%    2.61ms
  61034 requests in 1.00s, 71.30MB read
Requests/sec:  60962.10
Transfer/sec:     71.22MB
`;

test('a wrk report without and with failures', () => {
  expect(parseWrkOutput(WRK)).toEqual({ requests: 61_034, rps: 60_962.1, p50Ms: 0.98, p99Ms: 2.61, failures: 0 });
  const failed = WRK.replace(
    'Requests/sec',
    '  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\nRequests/sec',
  );
  expect(parseWrkOutput(failed).failures).toBe(100);
});

test('latencies of seconds and minutes', () => {
  expect(parseWrkOutput(WRK.replace('2.61ms', '1.50s')).p99Ms).toBe(1500);
  expect(parseWrkOutput(WRK.replace('2.61ms', '1.50m')).p99Ms).toBe(90_000);
});

test('what is not a wrk report is an error', () => {
  expect(() => parseWrkOutput('unable to connect')).toThrow(/not a wrk report/);
  expect(() => parseWrkOutput(WRK.replace('99%    2.61ms', ''))).toThrow(/no 99% latency/);
});

const H2LOAD = `finished in 3.00s, 3232.00 req/s, 517.63KB/s
requests: 6464 total, 6464 started, 6464 done, 6460 succeeded, 4 failed, 3 errored, 2 timeout
status codes: 6460 2xx, 0 3xx, 0 4xx, 1 5xx
traffic: 1.01MB (1060096) total, 1.01MB (1060352) headers (space savings 0.00%), 152.00KB (155648) data
`;

test('the totals of an h2load report', () => {
  expect(parseH2loadOutput(H2LOAD)).toEqual({ requests: 6464, timeouts: 2, failures: 4 });
  expect(() => parseH2loadOutput('Could not connect')).toThrow(/not an h2load report/);
});

test('the latencies in an h2load log are sorted, and failed requests have none', () => {
  const log = '1795408733308519\t200\t1184\n1795408733308522\t200\t900\n1795408733308522\t-1\t5\n';
  expect([...parseH2loadLog(log)]).toEqual([900, 1184]);
  expect(() => parseH2loadLog('nonsense\n')).toThrow(/not a line/);
});
