// Conformance, health checks: what cannot be told by requests within their time: when endpoints are asked, after how many answers they
// count as ill, over which connections. From YAML to the sidecar's checks, by a clock of the test's own.

import { afterEach, expect, test, vi } from 'vitest';
import { startChecked } from './checked-service.js';

afterEach(() => {
  vi.restoreAllMocks();
});

test('intervals go by whether anybody calls, and by what the last checks have found', async () => {
  const service = await startChecked(`
  http: { path: /healthz }
  interval: 1000s
  unhealthyInterval: 2000s
  unhealthyEdgeInterval: 3000s
  healthyEdgeInterval: 4000s
  noTrafficInterval: 5000s
  unhealthyThreshold: 2
  healthyThreshold: 2`);
  await service.ended();
  expect(service.isFailing()).toBe(false);
  await service.call();
  expect(await service.checksAfter(5000)).toBe(true);
  service.application.status = 500;
  expect(await service.checksAfter(1000)).toBe(true);
  expect(service.isFailing()).toBe(false);
  expect(await service.checksAfter(3000)).toBe(true);
  expect(service.isFailing()).toBe(true);
  service.application.status = 200;
  expect(await service.checksAfter(2000)).toBe(true);
  expect(service.isFailing()).toBe(true);
  expect(await service.checksAfter(4000)).toBe(true);
  expect(service.isFailing()).toBe(false);
  expect(await service.checksAfter(1000)).toBe(true);
});

test('chance adds to them, and puts off the first check', async () => {
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
  const service = await startChecked(`
  http: { path: /healthz }
  initialJitter: 2000s
  noTrafficInterval: 2000s
  intervalJitter: 1000s
  intervalJitterPercent: 50`);
  expect(service.checks()).toBe(0);
  expect(await service.checksAfter(1000)).toBe(true);
  expect(await service.checksAfter(2000 + 500 + 500)).toBe(true);
});

test.each([
  [502, false],
  [503, true],
  [504, true],
  [505, false],
])('status %d is among unhealthyStatuses, or one of several that make an endpoint ill', async (status, isEnough) => {
  const service = await startChecked(`
  http: { path: /healthz, unhealthyStatuses: [{ from: 503, to: 504 }] }
  noTrafficInterval: 1000s
  unhealthyThreshold: 2`);
  await service.ended();
  service.application.status = status;
  expect(await service.checksAfter(1000)).toBe(true);
  expect(service.isFailing()).toBe(isEnough);
});

test('who has not answered within the timeout has failed', async () => {
  const service = await startChecked(`
  http: { path: /healthz }
  timeout: 1000s
  noTrafficInterval: 2000s
  unhealthyThreshold: 1`);
  await service.ended();
  service.application.isMute = true;
  await service.pass(2200);
  expect([service.checks(), service.isFailing()]).toEqual([2, false]);
  await service.pass(900);
  expect(service.isFailing()).toBe(false);
  await service.pass(200);
  expect([service.isFailing(), service.networkFailures()]).toEqual([true, 1]);
});

test.each([
  ['', 1],
  ['reuseConnection: true', 1],
  ['reuseConnection: false', 3],
])('%s: checks take as many connections', async (setting, connections) => {
  const service = await startChecked(`
  http: { path: /healthz }
  noTrafficInterval: 1000s
  ${setting}`);
  await service.ended();
  for (let check = 0; check < 2; check++) expect(await service.checksAfter(1000)).toBe(true);
  expect(service.application.sockets.size).toBe(connections);
});

test.each([
  ['logFailures: false', []],
  ['logFailures: true', ['a health check failed']],
])('%s: a failure that is not enough is logged, or not', async (setting, lines) => {
  const service = await startChecked(`
  http: { path: /healthz }
  noTrafficInterval: 1000s
  unhealthyThreshold: 2
  ${setting}`);
  await service.ended();
  service.application.status = 500;
  expect(await service.checksAfter(1000)).toBe(true);
  expect(service.logged.filter((line) => /health check/.test(line))).toEqual(lines);
});
