// Store: one accepted resource, with what the store adds to it (version, first acceptance, where it came from).

import { type ConfigObject, describeKind, isIstioKind, type SourcePosition } from '@lateen/istio-config';

/**
 * `applied`: by the admin API. `directory`: a file of --config-dir. `mesh-config`: the file of --mesh-config, or the
 * ConfigMap. `kubernetes`: the API server, whose last good version is kept here.
 */
export const ORIGINS = ['applied', 'directory', 'mesh-config', 'kubernetes'] as const;
export type Origin = (typeof ORIGINS)[number];

export const MESH_CONFIG = {
  kind: 'MeshConfig',
  group: 'lateen.io',
  apiVersion: 'lateen.io/v1',
  namespace: 'istio-system',
  name: 'istio',
} as const;

/** A resource before the store has accepted it. */
export interface ResourceContent {
  /** As it was written, for example `networking.istio.io/v1alpha3`. */
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Validated; JSON only. */
  readonly spec: unknown;
  readonly source: SourcePosition;
  readonly origin: Origin;
  /** When it was made, where its source knows that; when it was first accepted otherwise. */
  readonly createdAt?: Date;
}

export interface StoredResource extends ResourceContent {
  /** Rises with every accepted change of the store, so it never repeats, not even after a deletion. */
  readonly resourceVersion: number;
  /** When the resource was first accepted. */
  readonly creationTime: Date;
}

/** `KIND/NAMESPACE/NAME`, unique in the store. */
export type ResourceKey = string & { readonly __brand: 'ResourceKey' };

export function resourceKey(kind: string, namespace: string, name: string): ResourceKey {
  return `${kind}/${namespace}/${name}` as ResourceKey;
}

export function keyOf(resource: Pick<ResourceContent, 'kind' | 'namespace' | 'name'>): ResourceKey {
  return resourceKey(resource.kind, resource.namespace, resource.name);
}

/** API group of a kind that the store takes. @throws Error for any other */
export function groupOfKind(kind: string): string {
  if (kind === MESH_CONFIG.kind) return MESH_CONFIG.group;
  if (!isIstioKind(kind)) throw new Error(`${kind} is not a kind that Galley stores`);
  return describeKind(kind).group;
}

/** The ADS type URL of a kind: `GROUP/KIND`. */
export function typeUrlOfKind(kind: string): string {
  return `${groupOfKind(kind)}/${kind}`;
}

// Objects know where each of their fields was written as long as they are the very ones that the parser made.
const parsedObjects = new WeakMap<ResourceContent, ConfigObject>();

/** A parsed document as the store takes it. */
export function contentOf(object: ConfigObject, origin: Origin): ResourceContent {
  const { name, namespace, labels, annotations } = object.metadata;
  const { apiVersion, kind, spec, source } = object;
  const content = { apiVersion, kind, namespace, name, labels, annotations, spec, source, origin };
  parsedObjects.set(content, object);
  return content;
}

/** The document again, for checks across resources. MeshConfig is none of them. */
export function objectOf(resource: StoredResource | ResourceContent): ConfigObject {
  const parsed = parsedObjects.get(resource);
  if (parsed !== undefined) return parsed;
  const { apiVersion, kind, namespace, name, labels, annotations, spec, source } = resource;
  const stored = 'resourceVersion' in resource ? resource : undefined;
  const metadata = {
    name,
    namespace,
    labels,
    annotations,
    creationTimestamp: stored?.creationTime.toISOString(),
    resourceVersion: stored === undefined ? undefined : String(stored.resourceVersion),
  };
  // The spec was validated for its kind when it came in.
  return { apiVersion, kind, metadata, spec, source } as ConfigObject;
}

/** True when both say the same and have the same owner; the line where they were written does not count. */
export function sameContent(a: ResourceContent, b: ResourceContent): boolean {
  return sameOwner(a, b) && fingerprint(a) === fingerprint(b);
}

/** True when both came by the admin API, or from the same file. */
export function sameOwner(a: ResourceContent, b: ResourceContent): boolean {
  return a.origin === b.origin && (a.origin !== 'directory' || a.source.file === b.source.file);
}

function fingerprint({ apiVersion, labels, annotations, spec }: ResourceContent): string {
  return JSON.stringify([apiVersion, labels, annotations, spec], sortKeys);
}

/** For JSON.stringify: objects with their keys in order, so that equal values give equal text. */
function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
