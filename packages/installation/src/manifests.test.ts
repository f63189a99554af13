// Manifests: what is installed holds the strictest policy of pods, refers to nothing that is not there, and is the same by kustomize.
import { loadInjectionConfig } from '@lateen/injection';
import { parseMeshConfig } from '@lateen/istio-config';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { deploymentFiles } from './deployment-files.js';
import { buildManifests, objectName } from './manifests.js';
import type { KubernetesObject } from './objects.js';
import { resolveValues } from './values/resolve-values.js';
import { PROFILES } from './values/schema.js';

function manifests(...set: string[]): readonly KubernetesObject[] {
  const { values, problems } = resolveValues({ files: [], set, release: '9.9.9' });
  expect(problems).toEqual([]);
  return buildManifests(values!).flatMap(({ objects }) => objects);
}

interface PodSpec {
  readonly serviceAccountName: string;
  readonly securityContext: object;
  readonly containers: readonly {
    readonly image: string;
    readonly securityContext: object;
    readonly resources: object;
    readonly args: readonly string[];
    readonly volumeMounts?: readonly { readonly name: string }[];
    readonly [probe: string]: unknown;
  }[];
  readonly volumes?: readonly { readonly name: string; readonly hostPath?: unknown }[];
}

const ofKind = (objects: readonly KubernetesObject[], kind: string) => objects.filter((object) => object.kind === kind);
const podSpecs = (objects: readonly KubernetesObject[]) =>
  ofKind(objects, 'Deployment').map(({ spec }) => (spec as { template: { spec: PodSpec } }).template.spec);

describe.each(PROFILES)('profile %s', (profile) => {
  const objects = manifests(`profile=${profile}`);

  test('has no object twice', () => {
    const names = objects.map((object) => `${object.apiVersion} ${objectName(object)}`);
    expect(new Set(names).size).toBe(names.length);
  });

  test('runs pods that Pod Security of level restricted takes', () => {
    const pods = podSpecs(objects);
    expect(pods.length).toBe(profile === 'minimal' ? 3 : 4);
    for (const { securityContext, containers, volumes = [] } of pods) {
      expect(securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      expect(volumes.filter(({ hostPath }) => hostPath !== undefined)).toEqual([]);
      for (const container of containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          capabilities: { drop: ['ALL'] },
          privileged: false,
          readOnlyRootFilesystem: true,
        });
        expect(container.resources).toMatchObject({
          requests: { cpu: expect.any(String), memory: expect.any(String) },
        });
        expect(container).toMatchObject({ startupProbe: expect.any(Object), readinessProbe: expect.any(Object) });
        expect(container.image).toMatch(/^lateen\/[a-z]+:9\.9\.9$/);
        const mounted = (container.volumeMounts ?? []).map(({ name }) => name);
        expect(volumes.map(({ name }) => name).filter((name) => !mounted.includes(name))).toEqual([]);
        expect(mounted.filter((name) => !volumes.some((volume) => volume.name === name))).toEqual([]);
      }
    }
  });

  test('refers to accounts, Deployments and Services that it has', () => {
    const has = (kind: string, name: string) =>
      objects.some((object) => object.kind === kind && object.metadata.name === name);
    for (const { serviceAccountName } of podSpecs(objects))
      expect(has('ServiceAccount', serviceAccountName)).toBe(true);
    for (const { spec } of ofKind(objects, 'HorizontalPodAutoscaler')) {
      expect(has('Deployment', (spec as { scaleTargetRef: { name: string } }).scaleTargetRef.name)).toBe(true);
    }
    for (const { roleRef, subjects } of objects as readonly (KubernetesObject & {
      roleRef?: { kind: string; name: string };
      subjects?: { name: string }[];
    })[]) {
      if (roleRef !== undefined) expect(has(roleRef.kind, roleRef.name)).toBe(true);
      for (const { name } of subjects ?? []) expect(has('ServiceAccount', name)).toBe(true);
    }
    for (const { args } of podSpecs(objects).flatMap(({ containers }) => containers)) {
      for (const [, name] of args.join(' ').matchAll(/([a-z-]+)\.istio-system\.svc/g))
        expect(has('Service', name!)).toBe(true);
    }
  });

  test('gives no permission by wildcard', () => {
    for (const { rules } of [...ofKind(objects, 'ClusterRole'), ...ofKind(objects, 'Role')]) {
      expect(JSON.stringify(rules)).not.toContain('*');
    }
  });

  test('is the same by kustomize', () => {
    const files = new Map(deploymentFiles('9.9.9').map(({ path, text }) => [path, text]));
    const byKustomize = kustomized(`profiles/${profile}`, files).sort(byName);
    const wanted = objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
    expect(byKustomize).toEqual([...wanted].sort(byName));
  });
});

test('what the ConfigMaps hold is what their readers take', async () => {
  const objects = manifests('profile=demo', 'hub=example.com/mesh', 'proxy.resources.requests.cpu=1', 'proxy.cni=true');
  const dataOf = (name: string) =>
    (
      objects.find((object) => object.kind === 'ConfigMap' && object.metadata.name === name) as {
        data?: Record<string, string>;
      }
    ).data!;
  const injection = loadInjectionConfig(dataOf('istio-sidecar-injector'));
  expect(injection.values).toMatchObject({
    global: {
      hub: 'example.com/mesh',
      tag: '9.9.9',
      proxy: { resources: { requests: { cpu: '1' } }, logLevel: 'warn' },
    },
    pilot: { cni: { enabled: true } },
  });
  const mesh = parseMeshConfig({ name: 'mesh', content: dataOf('istio').mesh! });
  expect(mesh.problems).toEqual([]);
  expect(mesh.config).toMatchObject({
    accessLogFile: '/dev/stdout',
    defaultConfig: { proxyMetadata: { ISTIO_META_DNS_CAPTURE: 'true' } },
  });
});

describe('a revision', () => {
  const own = manifests('profile=demo', 'revision=canary');
  const others = manifests('profile=demo');

  test('shares with another only what all revisions share', () => {
    const names = new Set(others.map(objectName));
    const shared = own.filter((object) => names.has(objectName(object)));
    const kinds = new Set(shared.map(({ kind }) => kind));
    expect([...kinds].sort()).toEqual([
      'ClusterRole',
      'ClusterRoleBinding',
      'CustomResourceDefinition',
      'Namespace',
      'Role',
      'RoleBinding',
      'ServiceAccount',
    ]);
    // Taking a revision away goes by its label, so nothing shared may have it.
    for (const { metadata } of shared) expect(metadata.labels).not.toHaveProperty(['istio.io/rev']);
    for (const object of own.filter((each) => !names.has(objectName(each)))) {
      expect(object.metadata.labels).toMatchObject({ 'istio.io/rev': 'canary', 'app.kubernetes.io/part-of': 'lateen' });
    }
  });

  test('is selected by Services of its own', () => {
    for (const { metadata, spec } of ofKind(own, 'Service')) {
      expect(metadata.name).toMatch(/-canary$/);
      expect((spec as { selector: object }).selector).toMatchObject({ 'istio.io/rev': 'canary' });
    }
  });

  test('talks to its own Citadel, Galley and Pilot', () => {
    const said = JSON.stringify(podSpecs(own)).match(/[a-z-]+\.istio-system\.svc/g);
    expect(new Set(said)).toEqual(
      new Set(['citadel-canary.istio-system.svc', 'galley-canary.istio-system.svc', 'pilot-canary.istio-system.svc']),
    );
  });
});

const byName = (a: KubernetesObject, b: KubernetesObject) => (objectName(a) < objectName(b) ? -1 : 1);

/** What kustomize makes of a folder: the few of its fields that are used. */
function kustomized(folder: string, files: ReadonlyMap<string, string>): KubernetesObject[] {
  const { resources, patches = [] } = parse(files.get(`${folder}/kustomization.yaml`)!) as {
    resources: string[];
    patches?: { target: { kind: string; name: string }; patch: string }[];
  };
  const objects = resources.flatMap((resource): KubernetesObject[] => {
    const path = new URL(resource, `file:///${folder}/`).pathname.slice(1);
    if (path === 'crds') return [];
    if (!path.endsWith('.yaml')) return kustomized(path, files);
    return files
      .get(path)!
      .split('---\n')
      .map((text) => parse(text) as KubernetesObject);
  });
  return objects.flatMap((object) => {
    const own = patches.filter(({ target }) => target.kind === object.kind && target.name === object.metadata.name);
    let result: KubernetesObject | undefined = object;
    for (const { patch } of own) {
      const change = parse(patch) as { $patch?: string } | { op: string; path: string; value?: unknown }[];
      if (!Array.isArray(change)) {
        expect(change.$patch).toBe('delete');
        result = undefined;
      } else {
        for (const { op, path, value } of change) applyAt(result!, path, op === 'remove' ? undefined : value);
      }
    }
    return result === undefined ? [] : [JSON.parse(JSON.stringify(result)) as KubernetesObject];
  });
}

function applyAt(root: object, path: string, value: unknown): void {
  const steps = path
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  let owner = root as Record<string, unknown>;
  for (const step of steps.slice(0, -1)) owner = owner[step] as Record<string, unknown>;
  owner[steps.at(-1)!] = value;
}
