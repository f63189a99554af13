// Kubernetes source: an object of the API server → what would be in force, and what is wrong with it, by the rules of `apply`.
import type { Problem } from '@lateen/istio-config';
import type { CustomResource } from '@lateen/kubernetes';
import type { ConfigRules } from '../rules.js';
import { contentOf, type ResourceContent, type ResourceKey, resourceKey } from '../store/stored-resource.js';

export interface ReadResource {
  readonly key: ResourceKey;
  readonly kind: string;
  /** As it was read. */
  readonly object: CustomResource;
  /** Undefined where there are errors. */
  readonly content: ResourceContent | undefined;
  readonly problems: readonly Problem[];
}

/** Restricts a resource to one revision of the control plane, as in Istio; without it a resource is for all of them. */
const REVISION_LABEL = 'istio.io/rev';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Where a resource of the API server was "written": it has no lines. */
export function sourceName(kind: string, namespace: string, name: string): string {
  return `kubernetes:${kind}/${namespace}/${name}`;
}

/** Validates an object. Never throws for what it holds. */
export function readResource(kind: string, object: CustomResource, rules: ConfigRules): ReadResource {
  const { namespace = '', name, creationTimestamp } = object.metadata;
  const file = sourceName(kind, namespace, name);
  const { objects, problems } = rules.parseObject(file, documentOf(object), namespace);
  const [first] = objects;
  const content = first && {
    ...contentOf(first, 'kubernetes'),
    ...(creationTimestamp !== undefined && { createdAt: new Date(creationTimestamp) }),
  };
  return { key: resourceKey(kind, namespace, name), kind, object, content, problems };
}

/** What of the object its author wrote. */
function documentOf({ apiVersion, kind, metadata, spec }: CustomResource): object {
  const { name, namespace, labels, annotations = {} } = metadata;
  const { [LAST_APPLIED]: _, ...written } = annotations;
  const fields = { name, namespace, ...(labels && { labels }), annotations: written };
  return { apiVersion, kind, metadata: fields, ...(spec !== undefined && { spec }) };
}

export function isForRevision({ metadata }: CustomResource, revision: string): boolean {
  const wanted = metadata.labels?.[REVISION_LABEL];
  return wanted === undefined || wanted === '' || wanted === revision;
}
