// Serving: the store's state as ADS resources. What did not change keeps its entry, and a kind that did not, its map.

import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { ISTIO_KINDS } from '@lateen/istio-config';
import { packAny } from '@lateen/xds-proto';
import { type ConfigResource, ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import type { ResourceEntry, ServedSnapshot } from '@lateen/xds-stream';
import type { ConfigState } from '../store/config-store.js';
import { MESH_CONFIG, type StoredResource, typeUrlOfKind } from '../store/stored-resource.js';

/** Every type that Pilot may subscribe to. */
export const SERVED_TYPE_URLS: readonly string[] = [...ISTIO_KINDS, MESH_CONFIG.kind].map(typeUrlOfKind);

/** The message that stands for a resource, toward Pilot and toward the CLI. */
export function toConfigResource(resource: StoredResource): ConfigResource {
  const { apiVersion, kind, namespace, name, labels, annotations, spec, source } = resource;
  return create(ConfigResourceSchema, {
    metadata: {
      namespace,
      name,
      labels: { ...labels },
      annotations: { ...annotations },
      resourceVersion: String(resource.resourceVersion),
      creationTime: timestampFromDate(resource.creationTime),
    },
    apiVersion,
    kind,
    specJson: JSON.stringify(spec),
    source,
  });
}

/** Builds the snapshot of a state, reusing what it can of the one before. */
export function buildSnapshot(state: ConfigState, previous: ServedSnapshot | undefined): ServedSnapshot {
  const byType = new Map<string, Map<string, ResourceEntry>>(SERVED_TYPE_URLS.map((typeUrl) => [typeUrl, new Map()]));
  for (const resource of state.resources.values()) {
    const typeUrl = typeUrlOfKind(resource.kind);
    const name = `${resource.namespace}/${resource.name}`;
    const version = String(resource.resourceVersion);
    const known = previous?.resources.get(typeUrl)?.get(name);
    const entry =
      known?.version === version ? known : { version, any: packAny(ConfigResourceSchema, toConfigResource(resource)) };
    byType.get(typeUrl)?.set(name, entry);
  }
  const resources = new Map<string, ReadonlyMap<string, ResourceEntry>>();
  for (const [typeUrl, entries] of byType) {
    const known = previous?.resources.get(typeUrl);
    resources.set(typeUrl, known !== undefined && sameEntries(known, entries) ? known : entries);
  }
  return { version: String(state.version), resources, createdAtMs: Date.now() };
}

function sameEntries(a: ReadonlyMap<string, ResourceEntry>, b: ReadonlyMap<string, ResourceEntry>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, entry] of b) if (a.get(name) !== entry) return false;
  return true;
}
