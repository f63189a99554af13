// Tests of the advice for systems with few loopback addresses.
import { describe, expect, it } from 'vitest';
import { requireLoopback } from './loopback-alias.js';

describe('loopback addresses', () => {
  it('are no problem where they exist', async () => {
    await expect(requireLoopback(['127.0.0.1'])).resolves.toBeUndefined();
  });

  it('are asked for, all at once, where they do not', async () => {
    // TEST-NET-3 and -2 (RFC 5737): on no machine.
    const failure = await requireLoopback(['127.0.0.1', '203.0.113.7', '198.51.100.7']).catch(
      (error: Error) => error.message,
    );
    expect(failure).toMatch(/ifconfig lo0 .*203\.0\.113\.7/);
    expect(failure).toMatch(/ifconfig lo0 .*198\.51\.100\.7/);
    expect(failure).not.toContain('127.0.0.1');
  });
});
