// Translate: whose settings a proxy is started with.

import type { ConfigObject, ProxyConfigSpec } from '@lateen/istio-config';
import { expect, test } from 'vitest';
import { type ProxySettingsSource, resolveProxySettings } from './proxy-settings.js';

function proxyConfig(namespace: string, name: string, spec: ProxyConfigSpec, second = 0): ConfigObject<'ProxyConfig'> {
  const creationTimestamp = new Date(second * 1000).toISOString();
  return {
    apiVersion: 'networking.istio.io/v1beta1',
    kind: 'ProxyConfig',
    metadata: { name, namespace, labels: {}, annotations: {}, creationTimestamp },
    spec,
    source: { file: 'in.yaml', line: 1, column: 1 },
  };
}

const levels = ['mesh', 'root', 'namespace', 'annotation', 'workload'];
/** Each level sets what only it sets, and what all from it on set. */
const variables = (level: string) =>
  Object.fromEntries([
    [`ONLY_${level}`, level],
    ...levels.slice(levels.indexOf(level)).map((to) => [`UP_TO_${to}`, level]),
  ]);

const source: ProxySettingsSource = {
  meshConfig: { defaultConfig: { proxyMetadata: variables('mesh'), concurrency: 1, terminationDrainDuration: '9s' } },
  rootNamespace: 'istio-system',
  proxyConfigs: [
    proxyConfig('istio-system', 'root', { environmentVariables: variables('root'), concurrency: 2 }),
    proxyConfig('shop', 'namespace', { environmentVariables: variables('namespace'), concurrency: 3 }),
    proxyConfig('shop', 'younger', { environmentVariables: { ONLY_namespace: 'younger' } }, 1),
    proxyConfig('shop', 'workload', {
      selector: { matchLabels: { app: 'web' } },
      environmentVariables: variables('workload'),
      concurrency: 5,
    }),
    proxyConfig('shop', 'another', { selector: { matchLabels: { app: 'other' } }, concurrency: 6 }),
    proxyConfig('elsewhere', 'elsewhere', { concurrency: 7 }),
  ],
};
const annotation = JSON.stringify({
  proxyMetadata: variables('annotation'),
  concurrency: 4,
  terminationDrainDuration: '7s',
});

test('the nearest setting counts, variables one by one', () => {
  const annotations = { 'proxy.istio.io/config': annotation };
  expect(resolveProxySettings(source, { namespace: 'shop', labels: { app: 'web' }, annotations })).toEqual({
    environment: {
      ...Object.fromEntries(levels.map((level) => [`ONLY_${level}`, level])),
      ...Object.fromEntries(levels.map((level) => [`UP_TO_${level}`, level])),
    },
    concurrency: 5,
    terminationDrainMs: 7000,
  });
});

test('without an annotation and a selecting ProxyConfig the namespace counts, else the root, else the mesh', () => {
  const at = (namespace: string, more: Partial<ProxySettingsSource> = {}) =>
    resolveProxySettings({ ...source, ...more }, { namespace, labels: {}, annotations: {} });
  expect(at('shop')).toMatchObject({ concurrency: 3, terminationDrainMs: 9000 });
  expect(at('shop').environment.ONLY_namespace).toBe('namespace');
  expect(at('unnamed').concurrency).toBe(2);
  expect(at('istio-system').concurrency).toBe(2);
  expect(at('shop', { proxyConfigs: [] }).concurrency).toBe(1);
  expect(at('shop', { proxyConfigs: [], meshConfig: {} })).toEqual({
    environment: {},
    concurrency: undefined,
    terminationDrainMs: undefined,
  });
});
