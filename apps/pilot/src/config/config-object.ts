// Configuration: decodes what Galley serves into the objects that translation reads.

import type { Any } from '@bufbuild/protobuf/wkt';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { type ConfigObject, isIstioKind, type MeshConfig } from '@lateen/istio-config';
import { unpackAny } from '@lateen/xds-proto';
import { type ConfigResource, ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import { ResourceRejected } from '@lateen/xds-stream';

/** Resource name in the incremental form; MeshConfig and other kinds without a namespace have an empty one. */
export function configName(resource: ConfigResource): string {
  return `${resource.metadata?.namespace ?? ''}/${resource.metadata?.name ?? ''}`;
}

/** Decodes one resource of a kind. @throws ResourceRejected naming what is wrong with it */
export function decodeConfig(typeUrl: string, any: Any): ConfigResource {
  const resource = unpackAny(any, ConfigResourceSchema);
  const name = configName(resource);
  const kind = typeUrl.slice(typeUrl.indexOf('/') + 1);
  const problems: { path: string; message: string }[] = [];
  if (resource.kind !== kind) problems.push({ path: 'kind', message: `expected ${kind}, got "${resource.kind}"` });
  if (!resource.metadata?.name) problems.push({ path: 'metadata.name', message: 'is empty' });
  try {
    const spec: unknown = JSON.parse(resource.specJson);
    if (typeof spec !== 'object' || spec === null || Array.isArray(spec)) {
      problems.push({ path: 'spec_json', message: 'is not a JSON object' });
    }
  } catch (error) {
    problems.push({ path: 'spec_json', message: (error as Error).message });
  }
  if (problems.length > 0) throw new ResourceRejected(name, problems);
  return resource;
}

/** The Istio object of a resource that `decodeConfig` accepted; undefined for a kind that is none (MeshConfig). */
export function toConfigObject(resource: ConfigResource): ConfigObject | undefined {
  const { kind, metadata, source } = resource;
  if (!isIstioKind(kind) || metadata === undefined) return undefined;
  const created = metadata.creationTime;
  // Galley validated the spec against the kind's schema before it stored it; that is what makes this type true.
  return {
    apiVersion: resource.apiVersion,
    kind,
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      labels: metadata.labels,
      annotations: metadata.annotations,
      resourceVersion: metadata.resourceVersion,
      ...(created === undefined ? {} : { creationTimestamp: timestampDate(created).toISOString() }),
    },
    spec: JSON.parse(resource.specJson),
    source: { file: source?.file ?? '', line: source?.line ?? 0, column: source?.column ?? 0 },
  } as ConfigObject;
}

/** MeshConfig as Galley validated it. */
export function toMeshConfig(resource: ConfigResource): MeshConfig {
  return JSON.parse(resource.specJson) as MeshConfig;
}
