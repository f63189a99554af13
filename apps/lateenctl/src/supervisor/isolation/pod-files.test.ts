// What a pod sees in place of the machine's own files.

import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { downwardText, hostsText, podFiles, resolvConfText, writePodFiles } from './pod-files.js';

test('names are searched as the kubelet has them searched', () => {
  expect(resolvConfText('10.244.0.1', 'shop')).toBe(
    'nameserver 10.244.0.1\nsearch shop.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n',
  );
});

test('a pod knows its own name, at each of its addresses', () => {
  expect(hostsText('web-0', ['10.244.0.16', 'fd44::10'])).toContain('10.244.0.16 web-0\nfd44::10 web-0\n');
});

test('labels and annotations are written as the downward API writes them', () => {
  expect(downwardText({ app: 'web', note: 'two\nlines and a "quote"' })).toBe(
    'app="web"\nnote="two\\nlines and a \\"quote\\""\n',
  );
});

test('files can be written again, and the memory of the proxy is that of the pod', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-pod-files-'));
  try {
    const options = {
      podName: 'web-0',
      namespace: 'shop',
      annotations: {},
      addresses: ['10.244.0.16'],
      nameServer: '10.244.0.1',
    };
    await writePodFiles(directory, { ...options, labels: { app: 'web' } });
    await writePodFiles(directory, { ...options, labels: { app: 'shop' } });
    const { labels, proxyRoot } = podFiles(directory);
    expect(readFileSync(labels, 'utf8')).toBe('app="shop"\n');
    expect(statSync(join(proxyRoot, 'var/run/lateen')).ino).toBe(statSync(join(directory, 'sidecar')).ino);
    expect(statSync(join(directory, 'sidecar')).mode & 0o077).toBe(0);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
