// `kube-inject`: what is changed of a file, and that the rest stays as it was.
import { readFileSync } from 'node:fs';
import { DEFAULT_MESH_SETTINGS, type InjectionSource, inject, loadInjectionConfig, type Pod } from '@lateen/injection';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { injectText } from './injected-text.js';

const SOURCE: InjectionSource = {
  config: loadInjectionConfig({}),
  mesh: DEFAULT_MESH_SETTINGS,
  revision: 'default',
  version: '1.0.0',
  knowsNativeSidecars: true,
};

const SERVICE = `# what calls it
apiVersion: v1
kind: Service
metadata: {name: web,   labels: {a: "1"}}
spec:
    ports: [ {port: 80} ]
`;

const DEPLOYMENT = `---
# the program
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web # its name
spec:
  # as many as needed
  replicas: 2
  template:
    metadata:
      labels: { app: web }
    spec:
      containers:
        # the one
        - name: web
          image: web:1 # pinned
          readinessProbe:
            httpGet: { path: /ready, port: 8080 }
`;

const podOf = (text: string) => (parse(text) as { spec: { template: Pod } }).spec.template;

describe('injectText', () => {
  it('leaves documents without pods byte by byte, and comments of the others', () => {
    const { text, pods, problems } = injectText(`${SERVICE}${DEPLOYMENT}`, 'shop', SOURCE);
    expect(problems).toEqual([]);
    expect(pods).toEqual([{ object: 'Deployment/web', namespace: 'shop', injected: true, warnings: [] }]);
    expect(text.startsWith(`${SERVICE}---\n`)).toBe(true);
    for (const comment of ['# the program', '# its name', '# as many as needed', '# the one', '# pinned']) {
      expect(text).toContain(comment);
    }
    const workload = { name: 'web', kind: 'Deployment', apiVersion: 'apps/v1' };
    const expected = inject({ pod: podOf(DEPLOYMENT), namespace: 'shop', workload }, SOURCE).pod;
    expect(podOf(text.slice(SERVICE.length))).toEqual(JSON.parse(JSON.stringify(expected)));
    expect(text).toContain('kubernetes://apis/apps/v1/namespaces/shop/deployments/web');
  });

  it('injected again it is the same', () => {
    const { text } = injectText(DEPLOYMENT, 'shop', SOURCE);
    expect(injectText(text, 'shop', SOURCE).text).toBe(text);
  });

  it.each([
    ['Pod', 'v1', (pod: string) => pod],
    ['StatefulSet', 'apps/v1', (pod: string) => `spec: { template: {${pod}} }`],
    ['DaemonSet', 'apps/v1', (pod: string) => `spec: { template: {${pod}} }`],
    ['ReplicaSet', 'apps/v1', (pod: string) => `spec: { template: {${pod}} }`],
    ['Job', 'batch/v1', (pod: string) => `spec: { template: {${pod}} }`],
    ['CronJob', 'batch/v1', (pod: string) => `spec: { jobTemplate: { spec: { template: {${pod}} } } }`],
  ])('injects a %s', (kind, apiVersion, place) => {
    const pod = 'spec: { containers: [{ name: web, image: x }] }';
    const { text, pods } = injectText(
      `kind: ${kind}\napiVersion: ${apiVersion}\nmetadata: { name: web }\n${place(pod)}\n`,
      'shop',
      SOURCE,
    );
    expect(pods).toMatchObject([{ object: `${kind}/web`, injected: true }]);
    expect(text).toContain('istio-proxy');
    expect(() => parse(text)).not.toThrow();
  });

  it('injects each of a List, and JSON as JSON', () => {
    const item = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: [{ name }] },
    });
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [item('a'), { apiVersion: 'v1', kind: 'Secret' }, item('b')],
    };
    const { text, pods } = injectText(JSON.stringify(list), 'shop', SOURCE);
    expect(pods.map(({ object }) => object)).toEqual(['Pod/a', 'Pod/b']);
    const { items } = JSON.parse(text) as { items: { spec?: { initContainers?: unknown[] } }[] };
    expect(items.map(({ spec }) => spec?.initContainers?.length)).toEqual([2, undefined, 2]);
  });

  it('writes a document with anchors anew, so that each place has its own', () => {
    const text = `apiVersion: v1\nkind: Pod\nmetadata: { name: web, labels: &l { app: web } }\nspec: { containers: [{ name: web }], nodeSelector: *l }\n`;
    const pod = parse(injectText(text, 'shop', SOURCE).text) as {
      metadata: { labels: object };
      spec: { nodeSelector: object };
    };
    expect(pod.spec.nodeSelector).toEqual({ app: 'web' });
    expect(pod.metadata.labels).toMatchObject({ app: 'web', 'security.istio.io/tlsMode': 'istio' });
  });

  it('says why a pod is left out, and where one cannot be injected', () => {
    const pod = (more: string) =>
      `apiVersion: v1\nkind: Pod\nmetadata: { name: web, ${more} }\nspec: { containers: [{ name: web }] }\n`;
    const out = pod('labels: { sidecar.istio.io/inject: "false" }');
    expect(injectText(out, 'shop', SOURCE)).toEqual({
      text: out,
      problems: [],
      pods: [
        {
          object: 'Pod/web',
          namespace: 'shop',
          injected: false,
          reason: expect.stringContaining('"false"'),
          warnings: [],
        },
      ],
    });
    const wrong = `${SERVICE}---\n${pod('annotations: { sidecar.istio.io/proxyCPU: lots }')}`;
    expect(injectText(wrong, 'shop', SOURCE).problems).toEqual([
      expect.stringMatching(/^7: Pod\/web: annotation sidecar\.istio\.io\/proxyCPU/),
    ]);
    expect(injectText('a: [', 'shop', SOURCE).problems).toEqual([expect.stringMatching(/^1: this is no YAML/)]);
  });

  it('injects every pod of Bookinfo and changes nothing else', () => {
    const content = readFileSync(new URL('../../../../examples/bookinfo/bookinfo.yaml', import.meta.url), 'utf8');
    const { text, pods, problems } = injectText(content, 'default', SOURCE);
    expect(problems).toEqual([]);
    expect(pods.length).toBeGreaterThan(5);
    expect(pods.every(({ injected, warnings }) => injected && warnings.length === 0)).toBe(true);
    const others = (yaml: string) =>
      parseAllDocuments(yaml)
        .map((each) => each.toJS() as { kind?: string } | null)
        .filter((each) => each?.kind !== 'Deployment');
    expect(others(text)).toEqual(others(content));
  });
});
