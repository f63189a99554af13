// Input: texts of YAML → resources of Istio's kinds, objects of Kubernetes' kinds, and MeshConfig.

import {
  isIstioKind,
  isMeshConfig,
  type MeshConfig,
  objectKey,
  type Problem,
  parseDocuments,
  parseMeshConfig,
} from '@lateen/istio-config';
import { LineCounter, parseAllDocuments } from 'yaml';
import type { AnalysisInput } from './analyze.js';
import type { RawObject } from './model/raw-object.js';

export interface SourceFile {
  readonly name: string;
  readonly content: string;
}

/** Documents of kinds that nobody here knows are kept as they are; what cannot be read at all is told. */
export function readFiles(
  files: readonly SourceFile[],
  defaultNamespace = 'default',
): Pick<AnalysisInput, 'objects' | 'raw' | 'problems' | 'mesh'> {
  const meshFiles = files.filter(({ content }) => isMeshConfig(content));
  const documents = files.filter((file) => !meshFiles.includes(file));
  const { objects, problems } = parseDocuments(documents, { defaultNamespace });
  const meshes = meshFiles.map((file) => parseMeshConfig(file));
  const raw = documents.flatMap((file) => rawObjects(file, defaultNamespace));
  const configMap = raw.find(
    ({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === 'istio' && metadata.namespace === 'istio-system',
  );
  return {
    objects: lastOf(objects, objectKey),
    raw: lastOf(raw, ({ kind, metadata }) => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`),
    problems: [...problems.filter(isOurs), ...meshes.flatMap((mesh) => mesh.problems)],
    mesh: meshes[0]?.config ?? meshOf(configMap),
  };
}

/** Of an object that stands in several files the last counts, as when they are applied one after the other. */
function lastOf<T>(objects: readonly T[], keyOf: (object: T) => string): readonly T[] {
  return [...new Map(objects.map((object) => [keyOf(object), object])).values()];
}

/** Kubernetes' own kinds are for the API server to judge: what local mode does without is no fault in a cluster. */
function isOurs({ kind }: Problem): boolean {
  return kind === '' || isIstioKind(kind);
}

/** MeshConfig of the ConfigMap. */
export function meshOf(configMap: RawObject | undefined): MeshConfig | undefined {
  const content = (configMap?.data as Record<string, string> | undefined)?.mesh;
  return content === undefined ? undefined : parseMeshConfig({ name: 'ConfigMap istio-system/istio', content }).config;
}

const CLUSTER_SCOPED = new Set([
  'Namespace',
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'Node',
  'CustomResourceDefinition',
]);

function rawObjects({ name: file, content }: SourceFile, defaultNamespace: string): RawObject[] {
  const lines = new LineCounter();
  return parseAllDocuments(content, { lineCounter: lines, merge: true }).flatMap((document) => {
    if (document.errors.length > 0 || document.contents === null) return [];
    const { line, col: column } = lines.linePos(document.contents.range?.[0] ?? 0);
    const value = document.toJS() as Partial<RawObject> & { items?: readonly Partial<RawObject>[] };
    return (value.kind === 'List' ? (value.items ?? []) : [value]).flatMap((each) => {
      const { apiVersion, kind, metadata } = each;
      if (apiVersion === undefined || kind === undefined || metadata?.name === undefined || isIstioKind(kind))
        return [];
      const namespace = CLUSTER_SCOPED.has(kind) ? undefined : (metadata.namespace ?? defaultNamespace);
      return [
        {
          ...each,
          raw: true,
          apiVersion,
          kind,
          metadata: { ...metadata, ...(namespace !== undefined && { namespace }) },
          source: { file, line, column },
        } as RawObject,
      ];
    });
  });
}
