// Kubernetes: the fields of a pod that local mode can hand to a container as environment variables (`fieldRef`).

/** Field paths without a key. */
export const POD_FIELDS = [
  'metadata.name',
  'metadata.namespace',
  'spec.serviceAccountName',
  'spec.nodeName',
  'status.podIP',
  'status.hostIP',
] as const;

/** What a `fieldPath` names: a field, or a label or annotation by its key. */
export type PodField =
  | { readonly field: (typeof POD_FIELDS)[number] }
  | { readonly map: 'labels' | 'annotations'; readonly key: string };

const MAP_FIELD = /^metadata\.(labels|annotations)\['([^']+)'\]$/;

/** Reads a `fieldPath`; undefined for one that local mode does not have. */
export function parsePodField(fieldPath: string): PodField | undefined {
  const field = POD_FIELDS.find((known) => known === fieldPath);
  if (field !== undefined) return { field };
  const [, map, key] = MAP_FIELD.exec(fieldPath) ?? [];
  if (key === undefined) return undefined;
  return { map: map === 'labels' ? 'labels' : 'annotations', key };
}
