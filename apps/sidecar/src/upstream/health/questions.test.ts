// What the body of an answer to a check has to hold (`receive`), and how much of it is looked at.

import { fromEnvoyJson } from '@lateen/xds-proto';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { expect, test } from 'vitest';
import { healthSettings } from './health-settings.js';
import { httpQuestion } from './questions.js';

const WELL = { text: '77656C6C' };
const NOT = { binary: Buffer.from('not').toString('base64') };
const LONG = Buffer.from(`${' '.repeat(1_020)}well or not`);

test.each([
  ['parts in their order, with anything between', { receive: [WELL, NOT] }, 'so well or not', 200, true],
  ['parts in another order', { receive: [NOT, WELL] }, 'so well or not', 200, false],
  ['what lies behind the first KiB', { receive: [NOT] }, LONG, 200, false],
  ['as much as is asked for', { receive: [NOT], response_buffer_size: 1_031 }, LONG, 200, true],
  ['all of it', { receive: [NOT], response_buffer_size: 0 }, LONG, 200, true],
  ['what holds it, with a status that is not expected', { receive: [WELL] }, 'well', 500, false],
  ['nothing where nothing is asked for', {}, '', 200, true],
])('%s', (_what, more, body, status, ok) => {
  const health_checks = [{ http_health_check: { path: '/healthz', ...more } }];
  const { check } = healthSettings(fromEnvoyJson(ClusterSchema, { name: 'c', health_checks }))!;
  if (check.kind !== 'http') throw new Error('not a check by HTTP');
  const question = httpQuestion(check, 'host');
  const result = question.judge(status, -1, Buffer.from(body).subarray(0, question.maxBodyBytes));
  expect(result).toMatchObject(ok ? { ok } : { ok, retriable: false });
});
