// Analyze: what a mesh that runs consists of: a cluster as its API server has it, or a mesh of this machine.

import { type AnalysisInput, meshOf, type RawObject } from '@lateen/analysis';
import { type ConfigObject, describeKind, ISTIO_KINDS, type Problem, parseDocuments } from '@lateen/istio-config';
import { ApiError, type KubeClient, type KubeObject, type ResourceType } from '@lateen/kubernetes';
import type { SnapshotInput } from '@lateen/translate';
import { stringify } from 'yaml';
import type { Target } from '../commands/context.js';
import { withPlaces } from '../explain/read-mesh.js';
import { ObjectWriter } from '../install/object-writer.js';
import { pilotDebug } from '../mesh/pilot-debug.js';

/** Kinds of Kubernetes that findings go by. */
const KINDS: readonly (readonly [string, string])[] = [
  ['v1', 'Namespace'],
  ['v1', 'Service'],
  ['v1', 'Pod'],
  ['v1', 'ServiceAccount'],
  ['v1', 'Secret'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['admissionregistration.k8s.io/v1', 'MutatingWebhookConfiguration'],
  ['admissionregistration.k8s.io/v1', 'ValidatingWebhookConfiguration'],
];

export interface ClusterReading {
  readonly input: AnalysisInput;
  /** What could not be looked at, and so is not missed. */
  readonly unread: readonly string[];
}

/** Everything that findings go by, of all namespaces: what a resource refers to may be anywhere. */
export async function readCluster(client: KubeClient): Promise<ClusterReading> {
  const writer = new ObjectWriter(client);
  const raw: RawObject[] = [];
  const unread: string[] = [];
  const list = async (apiVersion: string, kind: string): Promise<readonly KubeObject[]> => {
    const type = await writer.typeOf({ apiVersion, kind });
    if (type === undefined) return [];
    try {
      return (await client.listAll(type)).items;
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 403) throw error;
      unread.push(kind);
      return [];
    }
  };
  for (const [apiVersion, kind] of KINDS) {
    for (const item of await list(apiVersion, kind))
      raw.push(rawOf({ apiVersion, kind }, kind === 'Secret' ? withoutValues(item) : item));
  }
  const objects: ConfigObject[] = [];
  const problems: Problem[] = [];
  for (const kind of ISTIO_KINDS) {
    const { group, versions } = describeKind(kind);
    const apiVersion = `${group}/${versions[0]}`;
    for (const item of await list(apiVersion, kind)) {
      const read = parsed({ apiVersion, kind }, item);
      objects.push(...read.objects);
      problems.push(...read.problems);
      raw.push(rawOf({ apiVersion, kind }, item));
    }
  }
  for (const name of ['istio', 'istio-sidecar-injector']) {
    const type: ResourceType = { group: '', version: 'v1', kind: 'ConfigMap', plural: 'configmaps', namespaced: true };
    const found = await client.get(type, { namespace: 'istio-system', name }).catch((error: unknown) => {
      if (error instanceof ApiError && (error.code === 404 || error.code === 403)) return undefined;
      throw error;
    });
    if (found !== undefined) raw.push(rawOf({ apiVersion: 'v1', kind: 'ConfigMap' }, found));
  }
  const mesh = meshOf(raw.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'istio'));
  return { input: { objects, raw, problems, mesh }, unread };
}

interface KindOf {
  readonly apiVersion: string;
  readonly kind: string;
}

function rawOf({ apiVersion, kind }: KindOf, item: KubeObject): RawObject {
  const source = { file: placeOf(kind, item), line: 0, column: 0 };
  return { ...item, raw: true, apiVersion, kind, source } as RawObject;
}

/** Which keys there are is all that is looked at. */
function withoutValues(secret: KubeObject): KubeObject {
  const { data = {} } = secret as { data?: Record<string, string> };
  return { ...secret, data: Object.fromEntries(Object.keys(data).map((key) => [key, ''])) } as KubeObject;
}

function placeOf(kind: string, { metadata }: KubeObject): string {
  return `kubernetes:${kind}/${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`;
}

/** A resource by the rules that documents are read by; lines would be of a text that nobody wrote. */
function parsed(
  { apiVersion, kind }: KindOf,
  item: KubeObject,
): { objects: readonly ConfigObject[]; problems: readonly Problem[] } {
  const { metadata, spec } = item as KubeObject & { spec?: unknown };
  const { name, namespace, labels, annotations, creationTimestamp } = metadata;
  const document = {
    apiVersion,
    kind,
    metadata: { name, namespace, labels, annotations, creationTimestamp },
    spec: spec ?? {},
  };
  const file = placeOf(kind, item);
  const { objects, problems } = parseDocuments([{ name: file, content: stringify(document) }], {
    defaultNamespace: namespace ?? 'default',
  });
  return { objects, problems: problems.map((problem) => ({ ...problem, line: 0, column: 0 })) };
}

/** A mesh of this machine, or one whose control plane was named by address. */
export async function readLocalMesh({ controlPlane, supervisor }: Target): Promise<AnalysisInput> {
  const input = await pilotDebug<SnapshotInput>(controlPlane, '/debug/mesh');
  const { objects = [] } = (await supervisor?.objects()) ?? {};
  const raw = objects.map(
    (object) => ({ ...object, raw: true, source: { file: 'supervisor', line: 0, column: 0 } }) as unknown as RawObject,
  );
  return { objects: withPlaces(input.configs), raw, problems: [], mesh: input.meshConfig };
}
