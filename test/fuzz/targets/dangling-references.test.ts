// The judge of the fuzzer sees what is missing and what is there twice, whatever Pilot's own check says.

import { parseDocuments } from '@lateen/istio-config';
import { buildSnapshot, resolveProxyView, TranslationCache } from '@lateen/translate';
import { TYPE_URL } from '@lateen/xds-proto';
import { describe, expect, it } from 'vitest';
import { danglingReference } from './dangling-references.js';
import { FUZZ_MESH, FUZZ_PROXIES } from './fuzz-mesh.js';

const CONFIG = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
  - route: [{destination: {host: web}, weight: 50}, {destination: {host: reviews}, weight: 50}]
    mirror: {host: shadow}
`;

function resourcesOfClient() {
  const { objects } = parseDocuments([{ name: 'a.yaml', content: CONFIG }], { defaultNamespace: 'default' });
  const snapshot = buildSnapshot({ ...FUZZ_MESH, configs: objects });
  const client = FUZZ_PROXIES.find(({ id }) => id.includes('client'))!;
  const { resources } = new TranslationCache().translate(resolveProxyView(snapshot, client));
  return new Map([...resources].map(([type, ofType]) => [type, new Map(ofType)]));
}

describe('a snapshot', () => {
  it('that is whole has no fault', () => {
    expect(danglingReference(resourcesOfClient())).toBeUndefined();
  });

  it.each([
    ['a weighted cluster', TYPE_URL.cluster, 'outbound|80||web.default.svc.cluster.local'],
    ['the cluster of a mirror', TYPE_URL.cluster, 'outbound|80||shadow.default.svc.cluster.local'],
    ['the cluster of a TCP proxy', TYPE_URL.cluster, 'outbound|3306||db.other.svc.cluster.local'],
    ['the endpoints of a cluster', TYPE_URL.endpoint, 'outbound|80||web.default.svc.cluster.local'],
    ['the routes of a listener', TYPE_URL.route, '80'],
  ])('that lacks %s is found out', (_what, type, name) => {
    const resources = resourcesOfClient();
    expect(resources.get(type)?.delete(name)).toBe(true);
    expect(danglingReference(resources)).toContain(`refers to ${name}, which is no ${type}`);
  });

  it('with two listeners at one place is found out', () => {
    const resources = resourcesOfClient();
    const [[name, listener]] = [...resources.get(TYPE_URL.listener)!] as [[string, never]];
    resources.get(TYPE_URL.listener)!.set('another', listener);
    expect(danglingReference(resources)).toContain(`another and ${name} listen at`);
  });
});
