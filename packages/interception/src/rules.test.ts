// Rules as text: what tests in network namespaces (test/kube/interception) do not see, and what must work without them.
import { describe, expect, test } from 'vitest';
import { buildIptables, countIptables, hasIptables, removeIptables } from './iptables.js';
import { buildNftables, countListedRules, countNftables } from './nftables.js';
import { parseSettings } from './parse-settings.js';
import { buildRoutes } from './routes.js';
import type { SettingTexts } from './settings.js';

const SURROUNDINGS = { dns: undefined, dropInvalid: false, families: [4, 6] } as const;
const USUAL: SettingTexts = { inboundPorts: '*', outboundRanges: '*', excludedInboundPorts: '15090,15021,15020' };
const interception = (texts: SettingTexts = {}, surroundings: Partial<Parameters<typeof parseSettings>[1]> = {}) =>
  parseSettings({ ...USUAL, ...texts }, { ...SURROUNDINGS, ...surroundings });

describe('nftables', () => {
  test('is one table, replaced in one transaction', () => {
    const text = buildNftables(interception());
    expect(text.split('\n').slice(0, 3)).toEqual([
      'table inet lateen',
      'delete table inet lateen',
      'table inet lateen {',
    ]);
    expect(text.match(/^table inet lateen \{/gm)).toHaveLength(1);
  });

  test('knows a proxy by its group alone where no user is named', () => {
    const text = buildNftables(
      interception({ proxyUids: '', proxyGids: '1337' }, { dns: { servers: 'all', port: 15_053 } }),
    );
    expect(text).not.toContain('skuid');
    expect(text).toContain('meta skgid 1337 return');
    expect(text).toContain('udp dport 53 meta skgid 1337 ct zone set 1');
  });

  test('decides in this order', () => {
    const text = buildNftables(
      interception({ excludedOutboundPorts: '25', excludedOutboundRanges: '10.9.0.0/16' }, { families: [4] }),
    );
    const output = text.slice(text.indexOf('chain nat_output')).split('\n').slice(2, -3);
    expect(output.map((line) => line.trim())).toEqual([
      'tcp dport 25 return',
      'udp dport 25 return',
      'oifname "lo" ip saddr 127.0.0.6/32 return',
      'oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta skuid 1337 redirect to :15006',
      'oifname "lo" meta skuid != 1337 return',
      'meta skuid 1337 return',
      'oifname "lo" ip daddr != 127.0.0.1/32 tcp dport != 15008 meta skgid 1337 redirect to :15006',
      'oifname "lo" meta skgid != 1337 return',
      'meta skgid 1337 return',
      'ip daddr 127.0.0.1/32 return',
      'ip daddr 10.9.0.0/16 return',
      'meta l4proto tcp redirect to :15001',
    ]);
  });

  test('counts the rules of its own text as those that are listed', () => {
    const dns = { servers: 'all', port: 15_053 } as const;
    for (const inboundMode of ['REDIRECT', 'TPROXY']) {
      const wanted = interception({ inboundMode, outboundRanges: '10.0.0.0/8,fd00::/8' }, { dns, dropInvalid: true });
      const text = buildNftables(wanted).split('\n').slice(2).join('\n');
      expect(countListedRules(text)).toBe(countNftables(wanted));
    }
  });

  test('touches loopback where a range asks for it', () => {
    const text = buildNftables(interception({ outboundRanges: '127.1.2.3/32' }, { families: [4] }));
    expect(text).not.toContain('oifname "lo" meta skuid != 1337 return');
    expect(text).toContain('ip daddr 127.1.2.3/32 meta l4proto tcp redirect to :15001');
  });

  test('has rules of IPv6 only where there is IPv6', () => {
    expect(buildNftables(interception({ excludedOutboundRanges: 'fd00::/8' }, { families: [4] }))).not.toContain('ip6');
    expect(buildRoutes(interception({}, { families: [4] }))).toEqual([]);
    expect(buildRoutes(interception()).map(({ args }) => args.join(' '))).toEqual(['-6 addr replace ::6/128 dev lo']);
  });
});

describe('iptables', () => {
  const saved = (text: string) => text.replace(/^\*/gm, '# x\n*');

  test('takes out what is there of ours, and of nobody else', () => {
    const old = [
      '*mangle',
      ':PREROUTING ACCEPT [0:0]',
      ':LATEEN_PREROUTING - [0:0]',
      ':OTHERS - [0:0]',
      '-A PREROUTING -j LATEEN_PREROUTING',
      '-A PREROUTING -j OTHERS',
      '-A LATEEN_PREROUTING -j RETURN',
      'COMMIT',
      '',
    ].join('\n');
    expect(hasIptables(old)).toBe(true);
    const removal = [
      '*mangle',
      ':LATEEN_PREROUTING - [0:0]',
      '-D PREROUTING -j LATEEN_PREROUTING',
      '-X LATEEN_PREROUTING',
      'COMMIT',
      '',
    ];
    expect(removeIptables(old)).toBe(removal.join('\n'));
    expect(buildIptables(interception(), 4, old)).toContain(removal.slice(0, -1).join('\n'));
    expect(removeIptables('*nat\n:OTHERS - [0:0]\nCOMMIT\n')).toBe('');
  });

  test('deletes a jump before it adds it again', () => {
    const once = buildIptables(interception(), 4, '');
    const again = buildIptables(interception(), 4, saved(once));
    expect(again).toContain('-D OUTPUT -j LATEEN_OUTPUT');
    expect(again.indexOf('-D OUTPUT')).toBeLessThan(again.indexOf('-A OUTPUT'));
    expect(countIptables(again)).toBe(countIptables(once));
  });

  test('writes out long lists of ports and of users', () => {
    const ports = Array.from({ length: 17 }, (_, index) => 1000 + index);
    const text = buildIptables(interception({ inboundPorts: ports.join(','), proxyUids: '1337,1338' }), 4, '');
    expect(text).toContain(`--dports ${ports.slice(0, 15).join(',')} -j REDIRECT --to-ports 15006`);
    expect(text).toContain('--dports 1015,1016 -j REDIRECT --to-ports 15006');
    expect(text).toContain('-o lo -m owner ! --uid-owner 1337 -m owner ! --uid-owner 1338 -j RETURN');
    expect(text).toContain('-m owner --uid-owner 1338 -j RETURN');
  });

  test('has only the rules of its family', () => {
    const both = interception({ excludedOutboundRanges: '10.9.0.0/16,fd09::/16' });
    expect(buildIptables(both, 4, '')).not.toContain('::');
    expect(buildIptables(both, 6, '')).toContain('-d fd09::/16 -j RETURN');
    expect(buildIptables(both, 6, '')).not.toContain('127.0.0');
  });
});
