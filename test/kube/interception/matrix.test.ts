// Interception matrix: who answers which connection, for nftables and iptables, IPv4 and IPv6, in network namespaces.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Actor, type Cast, createCast, FAMILIES, LOCALHOST } from './cast.js';
import { canMakeNamespaces, EXCLUDED, OUTSIDE, POD, VIP } from './network.js';
import { at } from './protocol.js';
import { BACKENDS, redirect, USUAL } from './redirect.js';

const PASSTHROUGH = { 4: '127.0.0.6', 6: '::6' } as const;
const directory = mkdtempSync(join(tmpdir(), 'lateen-interception-'));
const RESOLV_CONF = join(directory, 'resolv.conf');
const ANNOTATIONS = join(directory, 'annotations');
writeFileSync(RESOLV_CONF, `search default.svc.cluster.local\nnameserver ${OUTSIDE[4]}\nnameserver ${OUTSIDE[6]}\n`);
writeFileSync(
  ANNOTATIONS,
  [
    'traffic.sidecar.istio.io/excludeInboundPorts="9090"',
    'traffic.sidecar.istio.io/excludeOutboundPorts="7777"',
    'sidecar.istio.io/status="{\\"revision\\":\\"default\\"}"',
  ].join('\n'),
);
afterAll(() => rmSync(directory, { recursive: true }));

describe.skipIf(!canMakeNamespaces()).each(BACKENDS)('interception with %s', (backend) => {
  let cast: Cast;
  const write = (...args: readonly string[]) => redirect(cast.pod, backend, ['--ipv6', 'on', ...args]);
  const dial = (from: Actor, host: string, port: number, source?: string) => cast.dial(from, host, port, source);

  beforeAll(async () => {
    cast = await createCast();
  });
  afterAll(() => cast?.close());

  describe.each(FAMILIES)('IPv%i, as injected', (family) => {
    beforeAll(() => void write(...USUAL));

    test('brings connections to virtual addresses to the proxy, whoever in the pod makes them', async () => {
      for (const from of ['app', 'root'] as const)
        expect(await dial(from, VIP[family], 80)).toBe(`outbound ${at(VIP[family], 80)}`);
    });

    test('brings connections to addresses of other pods and of the world outside to the proxy', async () => {
      expect(await dial('app', OUTSIDE[family], 8080)).toBe(`outbound ${at(OUTSIDE[family], 8080)}`);
    });

    test('lets the proxy out by its user and by its group', async () => {
      for (const from of ['proxy', 'inProxyGroup'] as const)
        expect(await dial(from, OUTSIDE[family], 8080)).toBe('outside');
    });

    test('brings what comes in to the proxy, whichever port', async () => {
      for (const port of [8080, 7070, 12_345]) {
        expect(await dial('outside', POD[family], port)).toBe(`inbound ${at(POD[family], port)}`);
      }
    });

    test('leaves excluded ports and those of the proxy alone', async () => {
      expect(await dial('outside', POD[family], 9090)).toBe('app');
      for (const port of [15_008, 15_020, 15_021, 15_090])
        expect(await dial('outside', POD[family], port)).toBe('proxy');
      expect(await dial('app', OUTSIDE[family], 9999)).toBe('outside');
    });

    test('leaves excluded ranges alone', async () => {
      expect(await dial('app', EXCLUDED[family], 80)).toBe('outside');
    });

    test('leaves connections of the application to itself alone, by localhost and by the address of the pod', async () => {
      for (const from of ['app', 'root'] as const) {
        for (const host of [LOCALHOST[family], POD[family]]) expect(await dial(from, host, 8080)).toBe('app');
      }
    });

    test('brings the proxy to its own inbound side where a service calls itself', async () => {
      expect(await dial('app', VIP[family], 8080)).toBe(`outbound ${at(VIP[family], 8080)}`);
      expect(await dial('proxy', POD[family], 8080)).toBe(`inbound ${at(POD[family], 8080)}`);
    });

    test('lets the proxy reach the application', async () => {
      expect(await dial('proxy', LOCALHOST[family], 8080)).toBe('app');
      expect(await dial('proxy', POD[family], 8080, PASSTHROUGH[family])).toBe('app');
    });
  });

  describe.each(FAMILIES)('IPv%i, only what is included', (family) => {
    beforeAll(() => {
      write(
        ...[
          '-b',
          '8080',
          '-d',
          '8080',
          '-i',
          '10.96.0.0/16,fd96::/16',
          '-x',
          '10.96.0.99/32',
          '-q',
          '7777',
          '-o',
          '9999',
        ],
      );
    });

    test('brings included ports in, and leaves the others', async () => {
      expect(await dial('outside', POD[family], 8080)).toBe(`inbound ${at(POD[family], 8080)}`);
      expect(await dial('outside', POD[family], 7070)).toBe('app');
    });

    test('brings included ranges and ports out, and leaves the others', async () => {
      expect(await dial('app', VIP[family], 80)).toBe(`outbound ${at(VIP[family], 80)}`);
      expect(await dial('app', OUTSIDE[family], 7777)).toBe(`outbound ${at(OUTSIDE[family], 7777)}`);
      expect(await dial('app', OUTSIDE[family], 8080)).toBe('outside');
    });
  });

  describe.each(FAMILIES)('IPv%i, names', (family) => {
    const query = (from: Actor, host: string, sourcePort = 0) =>
      cast.agents[from].ask({ do: 'ask', host, port: 53, question: 'reviews', sourcePort });

    beforeAll(() => {
      write(...USUAL, '--redirect-dns', '--resolv-conf', RESOLV_CONF);
    });

    test('brings queries by UDP and TCP to the proxy, which asks the name server itself', async () => {
      for (const from of ['app', 'root'] as const) {
        expect(await query(from, OUTSIDE[family])).toEqual({ text: 'proxy(server(reviews))' });
        expect(await dial(from, OUTSIDE[family], 53)).toBe(`names ${at(OUTSIDE[family], 53)}`);
      }
    });

    test('brings nothing back to the proxy that it asks from a port from which the application asked', async () => {
      const port = 40_000 + family;
      expect(await query('app', OUTSIDE[family], port)).toEqual({ text: 'proxy(server(reviews))' });
      expect(await query('proxy', OUTSIDE[family], port)).toEqual({ text: 'server(reviews)' });
      expect(await dial('proxy', OUTSIDE[family], 53)).toBe('server');
      expect(await query('app', OUTSIDE[family], port)).toEqual({ text: 'proxy(server(reviews))' });
    });

    test('leaves name servers alone that the pod does not have, until all are captured', async () => {
      expect(await query('app', EXCLUDED[family])).toEqual({ text: 'other(reviews)' });
      write(...USUAL, '--redirect-dns', '--capture-all-dns');
      expect(await query('app', EXCLUDED[family])).toEqual({ text: 'proxy(server(reviews))' });
      write(...USUAL, '--redirect-dns', '--resolv-conf', RESOLV_CONF);
    });

    test('leaves all names alone where it is not asked for', async () => {
      write(...USUAL);
      expect(await query('app', OUTSIDE[family])).toEqual({ text: 'server(reviews)' });
      write(...USUAL, '--redirect-dns', '--resolv-conf', RESOLV_CONF);
    });
  });

  test('brings nothing to the proxy where nothing is included', async () => {
    write('-i', '', '-b', '');
    for (const family of FAMILIES) {
      expect(await dial('app', OUTSIDE[family], 8080)).toBe('outside');
      expect(await dial('outside', POD[family], 8080)).toBe('app');
    }
  });

  test('leaves excluded interfaces alone', async () => {
    write(...USUAL, '-c', 'eth0');
    expect(await dial('app', OUTSIDE[4], 8080)).toBe('outside');
    expect(await dial('outside', POD[4], 8080)).toBe('app');
  });

  test('counts what comes from virtual machines as outbound', async () => {
    write('-b', '*', '-i', '10.5.0.2/32', '-k', 'eth0');
    expect(await dial('outside', POD[4], 8080)).toBe(`outbound ${at(POD[4], 8080)}`);
    expect(await dial('outside', POD[6], 8080)).toBe('app');
  });

  test('takes the traffic of some groups only', async () => {
    write(...USUAL, '--outbound-owner-groups', '1000');
    expect(await dial('app', OUTSIDE[4], 8080)).toBe(`outbound ${at(OUTSIDE[4], 8080)}`);
    expect(await dial('root', OUTSIDE[4], 8080)).toBe('outside');
    write(...USUAL, '--outbound-owner-groups-exclude', '1000,2000');
    expect(await dial('app', OUTSIDE[4], 8080)).toBe('outside');
    expect(await dial('root', OUTSIDE[4], 8080)).toBe(`outbound ${at(OUTSIDE[4], 8080)}`);
  });

  test('takes settings from annotations as the downward API writes them', async () => {
    write('--from-annotations', ANNOTATIONS);
    expect(await dial('app', OUTSIDE[4], 8080)).toBe(`outbound ${at(OUTSIDE[4], 8080)}`);
    expect(await dial('app', OUTSIDE[4], 7777)).toBe('outside');
    expect(await dial('outside', POD[4], 9090)).toBe('app');
    expect(await dial('outside', POD[4], 8080)).toBe(`inbound ${at(POD[4], 8080)}`);
  });
});
