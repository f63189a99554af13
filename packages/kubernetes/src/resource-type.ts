// Names of resources in the API: what a kind is called in a path.
import type {
  ConfigMap,
  EndpointSlice,
  KubeObject,
  Lease,
  Namespace,
  Node,
  Pod,
  Secret,
  Service,
  ServiceAccount,
  TokenReview,
  WebhookConfiguration,
} from './objects.js';

/** One version of a kind, as the API server serves it. */
export interface ResourceType<T extends KubeObject = KubeObject> {
  /** '' for the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  /** As in paths: `virtualservices`. */
  readonly plural: string;
  readonly namespaced: boolean;
  /** Never there: it only ties the type of the objects to the resource. */
  readonly objects?: T;
}

function type<T extends KubeObject>(
  group: string,
  version: string,
  kind: string,
  plural: string,
  namespaced = true,
): ResourceType<T> {
  return { group, version, kind, plural, namespaced };
}

/** The kinds of Kubernetes itself that Lateen reads or writes. */
export const resourceTypes = {
  services: type<Service>('', 'v1', 'Service', 'services'),
  endpointSlices: type<EndpointSlice>('discovery.k8s.io', 'v1', 'EndpointSlice', 'endpointslices'),
  pods: type<Pod>('', 'v1', 'Pod', 'pods'),
  nodes: type<Node>('', 'v1', 'Node', 'nodes', false),
  namespaces: type<Namespace>('', 'v1', 'Namespace', 'namespaces', false),
  serviceAccounts: type<ServiceAccount>('', 'v1', 'ServiceAccount', 'serviceaccounts'),
  configMaps: type<ConfigMap>('', 'v1', 'ConfigMap', 'configmaps'),
  secrets: type<Secret>('', 'v1', 'Secret', 'secrets'),
  leases: type<Lease>('coordination.k8s.io', 'v1', 'Lease', 'leases'),
  tokenReviews: type<TokenReview>('authentication.k8s.io', 'v1', 'TokenReview', 'tokenreviews', false),
  validatingWebhooks: type<WebhookConfiguration>(
    'admissionregistration.k8s.io',
    'v1',
    'ValidatingWebhookConfiguration',
    'validatingwebhookconfigurations',
    false,
  ),
  mutatingWebhooks: type<WebhookConfiguration>(
    'admissionregistration.k8s.io',
    'v1',
    'MutatingWebhookConfiguration',
    'mutatingwebhookconfigurations',
    false,
  ),
} as const;

export interface ObjectRef {
  /** Needed for what has a namespace. */
  readonly namespace?: string;
  readonly name: string;
}

/** `group/version`, or the version alone for the core group. */
export function apiVersionOf({ group, version }: Pick<ResourceType, 'group' | 'version'>): string {
  return group === '' ? version : `${group}/${version}`;
}

/**
 * Path of an object, or of a collection without `name`; of all namespaces without `namespace`.
 * @throws Error for an object without the namespace that its kind needs
 */
export function resourcePath(type: ResourceType, ref: Partial<ObjectRef> = {}, subresource?: string): string {
  const root = type.group === '' ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
  const parts = [root];
  if (type.namespaced && ref.namespace !== undefined) parts.push('namespaces', encodeURIComponent(ref.namespace));
  else if (type.namespaced && ref.name !== undefined) throw new Error(`${type.kind} ${ref.name} needs a namespace`);
  parts.push(type.plural);
  if (ref.name !== undefined) parts.push(encodeURIComponent(ref.name));
  if (subresource !== undefined) parts.push(subresource);
  return parts.join('/');
}

/** How people read of an object: `Service shop/reviews`. */
export function objectRef({ kind }: Pick<ResourceType, 'kind'>, { namespace, name }: Partial<ObjectRef>): string {
  return [kind, [namespace, name].filter((part) => part !== undefined).join('/')]
    .filter((part) => part !== '')
    .join(' ');
}
