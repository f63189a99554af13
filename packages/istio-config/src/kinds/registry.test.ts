// Names of kinds.
import { expect, test } from 'vitest';
import { describeKind, ISTIO_KINDS, KUBERNETES_KINDS, kindByName } from './registry.js';

test.each([
  ['VirtualService', 'VirtualService'],
  ['virtualservice', 'VirtualService'],
  ['virtualservices', 'VirtualService'],
  ['vs', 'VirtualService'],
  ['virtualservices.networking.istio.io', 'VirtualService'],
  ['destinationrule', 'DestinationRule'],
  ['dr', 'DestinationRule'],
  ['gateway', 'Gateway'],
  ['gw', 'Gateway'],
  ['peerauthentication', 'PeerAuthentication'],
  ['pa', 'PeerAuthentication'],
  ['sidecars', 'Sidecar'],
  ['telemetry', 'Telemetry'],
  ['telemetries', 'Telemetry'],
  ['se', 'ServiceEntry'],
  ['svc', 'Service'],
  ['deploy', 'Deployment'],
  ['ns', 'Namespace'],
])('%s is %s', (word, kind) => {
  expect(kindByName(word)?.kind).toBe(kind);
});

test.each(['', 'x', 'virtualservices.example.com', '__proto__', 'constructor'])('%j is no kind', (word) => {
  expect(kindByName(word)).toBeUndefined();
});

test('no two kinds share a name', () => {
  const names = [...ISTIO_KINDS, ...KUBERNETES_KINDS].flatMap((kind) => {
    const { plural, shortNames } = describeKind(kind);
    return [...new Set([kind.toLowerCase(), plural, ...shortNames])];
  });
  expect(names.filter((name, index) => names.indexOf(name) !== index)).toEqual([]);
});
