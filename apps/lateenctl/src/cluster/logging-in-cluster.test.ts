// The program that runs within a proxy's container, and what is said where the API server does not run it.
import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { execFailure, loggingCommand } from './logging-in-cluster.js';

it('is a program that Node reads, which wants the token of its container', () => {
  const [, ...args] = loggingCommand('/logging?level=debug');
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  expect(status).toBe(1);
  expect(stderr).toContain("open '/var/run/lateen/admin-token'");
});

it('names the permission that is missing', () => {
  const refused = execFailure('the proxy of a.shop', new Error('Unexpected server response: 403'));
  expect(refused.message).toMatch(/pods\/exec/);
  expect(refused.exitCode).toBe(3);
  expect(execFailure('the proxy of a.shop', new Error('gone')).message).toBe('the proxy of a.shop: gone');
});
