// `check-inject -f`: what is said of the pods of files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createProgram } from '../program.js';

let folder: string;
let out: string;
let errors: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-check-inject-'));
  [out, errors] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    errors += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

const run = (...words: string[]) => createProgram().parseAsync(words, { from: 'user' });

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const namespace = (name: string, labels: string) =>
  `---\napiVersion: v1\nkind: Namespace\nmetadata: { name: ${name}, labels: {${labels}} }\n`;
const deployment = (name: string, ns: string, labels = '') =>
  `---\napiVersion: apps/v1\nkind: Deployment\nmetadata: { name: ${name}, namespace: ${ns} }\n` +
  `spec: { template: { metadata: { labels: {${labels}} }, spec: { containers: [{ name: web }] } } }\n`;

test('says for each workload whether it is injected, by which webhook, and why', async () => {
  const path = file(
    'all.yaml',
    namespace('on', 'istio-injection: enabled') +
      namespace('canary', 'istio.io/rev: canary') +
      deployment('web', 'on') +
      deployment('out', 'on', 'sidecar.istio.io/inject: "false"') +
      deployment('new', 'canary') +
      deployment('lost', 'elsewhere'),
  );
  await run('check-inject', '-f', path, '--revision', 'canary');
  const rows = out
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {3,}/));
  expect(rows[0]).toEqual(['NAME', 'NAMESPACE', 'INJECTED', 'REVISION', 'WEBHOOK', 'WHY']);
  expect(rows.slice(1).map((row) => row.slice(0, 4))).toEqual([
    ['Deployment/web', 'on', 'yes', 'default'],
    ['Deployment/out', 'on', 'no', '-'],
    ['Deployment/new', 'canary', 'yes', 'canary'],
    ['Deployment/lost', 'elsewhere', 'no', '-'],
  ]);
  expect(out).toContain('namespace on has the label istio-injection=enabled');
  expect(errors).toContain('Namespace elsewhere is not among the files');
});

test('takes webhooks and rules of the files, and answers in JSON', async () => {
  const path = file(
    'all.yaml',
    `${namespace('on', 'team: shop')}${deployment('web', 'on', 'app: web')}---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: istio-sidecar-injector }
webhooks:
  - name: team.sidecar-injector.istio.io
    namespaceSelector: { matchLabels: { team: shop } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: istio-sidecar-injector, namespace: istio-system }
data:
  config: |
    templates: { sidecar: {} }
    neverInjectSelector: [{ matchLabels: { app: web } }]
`,
  );
  await run('check-inject', 'Deployment/web', '-f', path, '-o', 'json');
  expect(JSON.parse(out)).toMatchObject([
    { name: 'Deployment/web', injected: false, code: 'never-selector', webhook: 'team.sidecar-injector.istio.io' },
  ]);
});

test('a pod that is not there is an error', async () => {
  const path = file('all.yaml', deployment('web', 'on'));
  await expect(run('check-inject', 'Deployment/other', '-f', path)).rejects.toThrow('no pod Deployment/other');
});

test('kube-inject writes what was injected, and refuses a configuration that is wrong', async () => {
  const path = file('all.yaml', deployment('web', 'on'));
  const target = join(folder, 'out.yaml');
  await run('kube-inject', '-f', path, '-o', target, '--revision', 'canary', '--no-native-sidecars');
  await run('kube-inject', '-f', path, '--revision', 'canary');
  expect(out).toContain('pilot-canary.istio-system.svc:15012');
  const values = file('values.yaml', 'global: { proxy: { logLevel: 1 } }');
  await expect(run('kube-inject', '-f', path, '--valuesFile', values)).rejects.toThrow('values.global.proxy.logLevel');
  const mesh = file('mesh.yaml', 'trustDomain: example.org\n');
  await run('kube-inject', '-f', path, '--meshConfigFile', mesh);
  expect(out).toContain('value: example.org');
});
