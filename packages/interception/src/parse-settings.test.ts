// What settings say, and every fault of theirs under the name that they were given by.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { settingsOfPod } from './annotations.js';
import { parseSettings, SettingsError } from './parse-settings.js';
import { parsePorts, parseRanges } from './parse-values.js';
import { parseResolvers } from './resolvers.js';
import { annotationName, type SettingTexts } from './settings.js';

const SURROUNDINGS = { dns: undefined, dropInvalid: false, families: [4, 6] } as const;

function problems(texts: SettingTexts, nameOf?: typeof annotationName): readonly string[] {
  try {
    parseSettings(texts, SURROUNDINGS, nameOf);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

describe('settings', () => {
  test('have the defaults of istio-iptables', () => {
    expect(parseSettings({}, SURROUNDINGS)).toMatchObject({
      proxyPort: 15_001,
      inboundPort: 15_006,
      proxyUids: [1337],
      proxyGids: [1337],
      inboundMode: 'REDIRECT',
      inboundPorts: [],
      outboundRanges: [],
    });
  });

  test('are lists with spaces, or all', () => {
    const { inboundPorts, outboundRanges, excludedOutboundPorts } = parseSettings(
      { inboundPorts: '*', outboundRanges: ' 10.0.0.0/8 , fd00::/8,', excludedOutboundPorts: '443, 80,443' },
      SURROUNDINGS,
    );
    expect(inboundPorts).toBe('all');
    expect(outboundRanges).toEqual([
      { family: 4, text: '10.0.0.0/8', isLoopback: false },
      { family: 6, text: 'fd00::/8', isLoopback: false },
    ]);
    expect(excludedOutboundPorts).toEqual([80, 443]);
  });

  test.each<[SettingTexts, string]>([
    [{ inboundPorts: '80a' }, '--istio-inbound-ports (-b): "80a" is not a port; write a number from 1 to 65535'],
    [{ inboundPorts: '80,*' }, '--istio-inbound-ports (-b): "*" means all ports, so it stands alone'],
    [
      { excludedInboundPorts: '*' },
      '--istio-local-exclude-ports (-d): "*" cannot stand here; write port numbers, separated by commas',
    ],
    [
      { outboundRanges: '10.0.0.1' },
      '--istio-service-cidr (-i): "10.0.0.1" has no prefix length; for the one address write 10.0.0.1/32',
    ],
    [
      { excludedOutboundRanges: 'fd00::/129' },
      '--istio-service-exclude-cidr (-x): "fd00::/129" has the prefix length "129"; IPv6 has 0 to 128',
    ],
    [
      { excludedOutboundRanges: 'example.com' },
      '--istio-service-exclude-cidr (-x): "example.com" is not a range of addresses; write it as 10.0.0.0/8 or fd00::/8',
    ],
    [
      { inboundMode: 'tproxy' },
      '--istio-inbound-interception-mode (-m): "tproxy" is not a mode; write REDIRECT or TPROXY',
    ],
    [
      { excludedInterfaces: 'eth0"; drop' },
      '--istio-exclude-interfaces (-c): "eth0"; drop" is not the name of a network interface',
    ],
    [{ ownerGroups: 'My Group' }, '--outbound-owner-groups: "My Group" is not the name or number of a group'],
    [{ tproxyTable: '254' }, "--istio-inbound-tproxy-route-table (-r): 254 is one of the system's own routing tables"],
    [
      { proxyUids: ' ' },
      '--proxy-uid (-u): name the user (or --proxy-gid (-g): the group) that the proxy runs as, or its own traffic comes back to it',
    ],
    [
      { proxyPort: '15006' },
      '--envoy-port (-p) and --inbound-capture-port (-z): both are 15006; the proxy tells directions by them',
    ],
  ])('%j is refused', (texts, problem) => {
    expect(problems(texts)).toEqual([problem]);
  });

  test('of a pod name their annotations, all of them at once', () => {
    const texts = settingsOfPod({
      'traffic.sidecar.istio.io/includeInboundPorts': 'http',
      'traffic.sidecar.istio.io/excludeOutboundIPRanges': '1.2.3.4/40',
    })!;
    expect(problems(texts, annotationName)).toEqual([
      'annotation traffic.sidecar.istio.io/includeInboundPorts: "http" is not a port; write a number from 1 to 65535',
      'annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: "1.2.3.4/40" has the prefix length "40"; IPv4 has 0 to 32',
    ]);
  });

  test('of a pod are those of injection, and add the ports of the proxy to what is excluded', () => {
    expect(settingsOfPod({})).toMatchObject({
      inboundPorts: '*',
      outboundRanges: '*',
      excludedInboundPorts: '15020,15021,15090',
    });
    expect(settingsOfPod({ 'traffic.sidecar.istio.io/excludeInboundPorts': '9090' })).toMatchObject({
      excludedInboundPorts: '9090,15020,15021,15090',
    });
    expect(settingsOfPod({ 'traffic.sidecar.istio.io/kubevirtInterfaces': 'tap0' })).toMatchObject({
      virtualInterfaces: 'tap0',
    });
    expect(settingsOfPod({ 'sidecar.istio.io/interceptionMode': 'NONE' })).toBeUndefined();
  });

  test('hold nothing that rules could not, whatever is written', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdef:./,* ') })), (text) => {
        for (const parse of [parsePorts, parseRanges]) {
          try {
            for (const value of parse(text)) {
              expect(typeof value === 'number' ? String(value) : value.text).toMatch(/^[0-9a-fA-F:./]+$/);
            }
          } catch (error) {
            expect((error as Error).message).toMatch(/is not|has |cannot stand/);
          }
        }
      }),
    );
  });
});

describe('resolv.conf', () => {
  test('names its servers, each once, without zones', () => {
    const text =
      'search a.b\nnameserver 10.0.0.10\n# nameserver 1.1.1.1\nnameserver fe80::1%eth0\n nameserver 10.0.0.10\nnameserver x\n';
    expect(parseResolvers(text).map((range) => range.text)).toEqual(['10.0.0.10/32', 'fe80::1/128']);
  });

  test('without servers means this machine', () => {
    expect(parseResolvers('search a.b\n').map((range) => range.text)).toEqual(['127.0.0.1/32']);
  });
});
