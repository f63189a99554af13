// The plugin's entry in lists of others, and what a runtime says.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findNetworkFile, insertPlugin, removePlugin } from './conflist.js';
import { CniError, parseArgs, parseNetworkConfig, resultOutput } from './network-config.js';

const ENTRY = { kubeconfig: '/etc/cni/net.d/k', exclude_namespaces: ['kube-system'], pod_namespace: 'istio-system' };
const LIST = { cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'bridge', mtu: 1450 }, { type: 'portmap' }] };

describe('a list of plugins', () => {
  test('has our entry last, once, and as before without it', () => {
    const once = insertPlugin(JSON.stringify(LIST), 'a.conflist', ENTRY);
    expect(JSON.parse(once)).toEqual({ ...LIST, plugins: [...LIST.plugins, { type: 'lateen-cni', ...ENTRY }] });
    expect(insertPlugin(once, 'a.conflist', ENTRY)).toBe(once);
    expect(JSON.parse(removePlugin(once, 'a.conflist'))).toEqual(LIST);
  });

  test('is made of a single plugin', () => {
    const single = { cniVersion: '0.4.0', name: 'net', type: 'bridge' };
    expect(JSON.parse(insertPlugin(JSON.stringify(single), 'a.conf', ENTRY))).toEqual({
      cniVersion: '0.4.0',
      name: 'net',
      plugins: [
        { name: 'net', type: 'bridge' },
        { type: 'lateen-cni', ...ENTRY },
      ],
    });
  });

  test('is the first network by name, as runtimes take it', () => {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-conflist-'));
    expect(findNetworkFile(directory)).toBeUndefined();
    writeFileSync(join(directory, '00-broken.conflist'), '{');
    writeFileSync(join(directory, '01-empty.conflist'), '{"plugins":[]}');
    writeFileSync(join(directory, '05-list.conf'), JSON.stringify(LIST));
    writeFileSync(join(directory, '20-other.conflist'), JSON.stringify(LIST));
    writeFileSync(join(directory, '10-net.conflist'), JSON.stringify(LIST));
    expect(findNetworkFile(directory)).toBe('10-net.conflist');
    rmSync(directory, { recursive: true });
  });
});

describe('a network configuration', () => {
  const failure = (text: string) => {
    try {
      parseNetworkConfig(text);
    } catch (error) {
      if (error instanceof CniError) return { code: error.code, message: error.message };
    }
    return undefined;
  };

  test('that cannot be followed is answered with the code of the specification', () => {
    expect(failure('{')).toMatchObject({ code: 6 });
    expect(failure('{"cniVersion":"2.0.0"}')).toMatchObject({ code: 1, message: expect.stringContaining('CNI 2.0.0') });
    expect(failure('{"cniVersion":"1.0.0"}')).toMatchObject({
      code: 7,
      message: expect.stringContaining('kubeconfig'),
    });
  });

  test('hands the result of the plugins before on, in its version', () => {
    const prevResult = { cniVersion: '0.4.0', ips: [{ address: '10.1.0.5/24' }], dns: { nameservers: ['10.0.0.10'] } };
    const config = parseNetworkConfig(JSON.stringify({ cniVersion: '1.1.0', kubeconfig: '/k', prevResult }));
    expect(JSON.parse(resultOutput(config))).toEqual({ ...prevResult, cniVersion: '1.1.0' });
  });

  test('comes with arguments of Kubernetes', () => {
    expect(parseArgs('IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=a=b')).toEqual({
      IgnoreUnknown: '1',
      K8S_POD_NAMESPACE: 'shop',
      K8S_POD_NAME: 'a=b',
    });
  });
});
