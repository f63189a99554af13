// Interception, TPROXY: what comes in reaches the proxy with both of its addresses as they were.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cast, createCast, FAMILIES } from './cast.js';
import { canMakeNamespaces, OUTSIDE, POD, VIP } from './network.js';
import { at } from './protocol.js';
import { BACKENDS, redirect, USUAL } from './redirect.js';

describe.skipIf(!canMakeNamespaces()).each(BACKENDS)('TPROXY with %s', (backend) => {
  let cast: Cast;
  beforeAll(async () => {
    cast = await createCast('tproxy');
    redirect(cast.pod, backend, [...USUAL, '-m', 'TPROXY', '--ipv6', 'on']);
  });
  afterAll(() => cast?.close());

  test.each(FAMILIES)(
    'IPv%i: brings what comes in to the proxy, from and to the addresses that it had',
    async (family) => {
      const { welcome } = await cast.agents.outside.ask({ do: 'dial', host: POD[family], port: 8080 });
      expect(welcome).toMatchObject({ who: 'inbound', local: at(POD[family], 8080), remote: OUTSIDE[family] });
    },
  );

  test.each(FAMILIES)('IPv%i: leaves excluded ports and the pod itself alone', async (family) => {
    expect(await cast.dial('outside', POD[family], 9090)).toBe('app');
    expect(await cast.dial('app', POD[family], 8080)).toBe('app');
  });

  test.each(FAMILIES)('IPv%i: brings what goes out to the proxy, and lets it out', async (family) => {
    expect(await cast.dial('app', VIP[family], 80)).toBe(`outbound ${at(VIP[family], 80)}`);
    expect(await cast.dial('proxy', OUTSIDE[family], 8080)).toBe('outside');
  });

  test('leaves no routes behind', () => {
    redirect(cast.pod, backend, ['--clean']);
    expect(cast.pod.run('ip rule; ip -6 rule; ip route show table all; ip -6 addr show dev lo')).not.toMatch(
      /fwmark|133|::6\b/,
    );
  });
});
