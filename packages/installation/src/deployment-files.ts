// Manifests: the files of deploy/: a folder for each component as the profile `default` has it, and the profiles over them.
import { stringify } from 'yaml';
import { jsonPatch } from './json-patch.js';
import { buildManifests, type ComponentName, objectName } from './manifests.js';
import type { KubernetesObject } from './objects.js';
import { resolveValues, type WholeValues } from './values/resolve-values.js';
import { PROFILES, type Profile } from './values/schema.js';

export interface DeploymentFile {
  /** Below deploy/, with slashes. */
  readonly path: string;
  readonly text: string;
}

const MADE = '# Made from packages/installation: npm run deploy:manifests\n';
const KUSTOMIZE = { apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization' };

/**
 * Every file of deploy/ but those of deploy/crds, which istio-config writes.
 * @param release version of the images
 */
export function deploymentFiles(release: string): DeploymentFile[] {
  const plain = componentsOf('default', release);
  const folders = plain.flatMap(([name, objects]) => componentFolder(name, objects));
  return [...folders, ...PROFILES.map((profile) => profileFile(profile, release, plain))];
}

type Folder = [Exclude<ComponentName, 'crds'>, readonly KubernetesObject[]];

function componentsOf(profile: Profile, release: string): Folder[] {
  const { values } = resolveValues({ files: [], set: [`profile=${profile}`], release });
  return buildManifests(values as WholeValues).flatMap(({ name, objects }) =>
    name === 'crds' ? [] : [[name, objects] as Folder],
  );
}

function componentFolder(name: string, objects: readonly KubernetesObject[]): DeploymentFile[] {
  const byFile = new Map<string, KubernetesObject[]>();
  for (const object of objects) {
    const file = `${FILES[object.kind] ?? object.kind.toLowerCase()}.yaml`;
    byFile.set(file, [...(byFile.get(file) ?? []), object]);
  }
  const files = [...byFile].map(([file, of]) => ({
    path: `${name}/${file}`,
    text: MADE + of.map(written).join('---\n'),
  }));
  const resources = [...byFile.keys()];
  return [...files, { path: `${name}/kustomization.yaml`, text: MADE + stringify({ ...KUSTOMIZE, resources }) }];
}

/** Kinds that stand together in a file. */
const FILES: Readonly<Record<string, string>> = {
  ClusterRole: 'rbac',
  ClusterRoleBinding: 'rbac',
  Role: 'rbac',
  RoleBinding: 'rbac',
  ServiceAccount: 'service-accounts',
  PodDisruptionBudget: 'availability',
  HorizontalPodAutoscaler: 'availability',
  NetworkPolicy: 'network-policy',
  MutatingWebhookConfiguration: 'webhooks',
  ValidatingWebhookConfiguration: 'webhooks',
};

function written(object: KubernetesObject): string {
  return stringify(object, { aliasDuplicateObjects: false, lineWidth: 0 });
}

/** A profile: the folders that it has, and how it differs from what they say. */
function profileFile(profile: Profile, release: string, plain: readonly Folder[]): DeploymentFile {
  const wanted = new Map(componentsOf(profile, release));
  const present = plain.filter(([name]) => wanted.has(name));
  const patches = present.flatMap(([name, objects]) => {
    const found = new Map(wanted.get(name)!.map((object) => [objectName(object), object]));
    return objects.flatMap((object) => patchFor(object, found.get(objectName(object))));
  });
  const kustomization = {
    ...KUSTOMIZE,
    resources: ['crds', ...present.map(([name]) => name)].map((name) => `../../${name}`),
    ...(patches.length > 0 && { patches }),
  };
  return { path: `profiles/${profile}/kustomization.yaml`, text: MADE + stringify(kustomization, { lineWidth: 0 }) };
}

function patchFor(object: KubernetesObject, wanted: KubernetesObject | undefined): object[] {
  const { apiVersion, kind, metadata } = object;
  const [version, group] = apiVersion.split('/').reverse();
  const { name, namespace } = metadata;
  const target = {
    ...(group !== undefined && { group }),
    version,
    kind,
    name,
    ...(namespace !== undefined && { namespace }),
  };
  if (wanted === undefined) {
    const patch = {
      apiVersion,
      kind,
      metadata: { name, ...(namespace !== undefined && { namespace }) },
      $patch: 'delete',
    };
    return [{ target, patch: stringify(patch) }];
  }
  const changes = jsonPatch(object, wanted);
  return changes.length === 0 ? [] : [{ target, patch: stringify(changes, { lineWidth: 0 }) }];
}
