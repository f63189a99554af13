// Components: which requests the API server asks Galley about: documents to validate, pods to inject.
import {
  DEFAULT_REVISION,
  type KubernetesObject,
  PART_OF,
  REVISION_LABEL,
  revisioned,
  SYSTEM_NAMESPACE,
} from '../objects.js';
import { CONFIG_GROUPS } from './galley.js';

/** The label of a MutatingWebhookConfiguration that is a tag: a name for a revision. */
export const TAG_LABEL = 'istio.io/tag';

interface Expression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values?: readonly string[];
}

const isIn = (key: string, values: readonly string[]): Expression => ({ key, operator: 'In', values });
const isNotIn = (key: string, values: readonly string[]): Expression => ({ key, operator: 'NotIn', values });
const isAbsent = (key: string): Expression => ({ key, operator: 'DoesNotExist' });

const INJECT_LABEL = 'sidecar.istio.io/inject';
const NAMESPACE_LABEL = 'istio-injection';

/** Namespaces of the cluster itself: a webhook that is away must not keep the cluster from mending itself. */
const CLUSTER_NAMESPACES = ['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage'];
const outsideOfCluster = isNotIn('kubernetes.io/metadata.name', CLUSTER_NAMESPACES);

interface Selected {
  readonly name: string;
  readonly namespaces: readonly Expression[];
  readonly pods: readonly Expression[];
}

/**
 * Which pods are asked about, by Istio's rules: a pod's own label counts most, then `istio-injection` of its namespace, then the
 * revision that namespace or pod name.
 * @param names revision or tag that namespaces and pods say; `byInjectionLabel`: whether `istio-injection=enabled` means this one
 */
function selections(name: string, byInjectionLabel: boolean): Selected[] {
  const refused = isNotIn(INJECT_LABEL, ['false']);
  const byRevision: Selected[] = [
    {
      name: 'rev.namespace.sidecar-injector.istio.io',
      namespaces: [isIn(REVISION_LABEL, [name]), isAbsent(NAMESPACE_LABEL)],
      pods: [refused],
    },
    {
      name: 'rev.object.sidecar-injector.istio.io',
      namespaces: [isAbsent(REVISION_LABEL), isAbsent(NAMESPACE_LABEL)],
      pods: [refused, isIn(REVISION_LABEL, [name])],
    },
  ];
  if (!byInjectionLabel) return byRevision;
  return [
    ...byRevision,
    { name: 'namespace.sidecar-injector.istio.io', namespaces: [isIn(NAMESPACE_LABEL, ['enabled'])], pods: [refused] },
    {
      name: 'object.sidecar-injector.istio.io',
      namespaces: [isAbsent(NAMESPACE_LABEL), isAbsent(REVISION_LABEL)],
      pods: [isIn(INJECT_LABEL, ['true']), isAbsent(REVISION_LABEL)],
    },
  ];
}

export interface InjectorWebhooks {
  /** Name of the configuration. */
  readonly name: string;
  /** What namespaces and pods say to mean it: a revision, or a tag. */
  readonly says: string;
  /** Whether `istio-injection=enabled` means it too. */
  readonly byInjectionLabel: boolean;
  /** The revision that answers. */
  readonly revision: string;
  readonly tag?: string;
}

/** The configuration that makes the API server ask a revision's Galley about new pods. Its `caBundle` is Galley's to write. */
export function injectorConfiguration({
  name,
  says,
  byInjectionLabel,
  revision,
  tag,
}: InjectorWebhooks): KubernetesObject {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {
      name,
      labels: {
        app: 'sidecar-injector',
        [PART_OF]: 'lateen',
        [REVISION_LABEL]: revision,
        ...(tag !== undefined && { [TAG_LABEL]: tag }),
      },
    },
    webhooks: selections(says, byInjectionLabel).map(({ name: webhook, namespaces, pods }) => ({
      name: webhook,
      clientConfig: {
        service: { name: revisioned('galley', revision), namespace: SYSTEM_NAMESPACE, path: '/inject', port: 443 },
      },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'], scope: '*' }],
      namespaceSelector: { matchExpressions: [...namespaces, outsideOfCluster] },
      objectSelector: { matchExpressions: pods },
      // A pod that should be in the mesh and is not would talk in plaintext and unseen: better none.
      failurePolicy: 'Fail',
      sideEffects: 'None',
      reinvocationPolicy: 'IfNeeded',
      timeoutSeconds: 10,
      admissionReviewVersions: ['v1'],
    })),
  };
}

/** The configuration of a revision's own injector. */
export function injectorOf(revision: string, byInjectionLabel = revision === DEFAULT_REVISION): KubernetesObject {
  return injectorConfiguration({
    name: revisioned('lateen-sidecar-injector', revision),
    says: revision,
    byInjectionLabel,
    revision,
  });
}

/** A tag: another name for a revision; the tag `default` is what `istio-injection=enabled` means. */
export function revisionTag(tag: string, revision: string): KubernetesObject {
  return injectorConfiguration({
    name: `lateen-revision-tag-${tag}`,
    says: tag,
    byInjectionLabel: tag === DEFAULT_REVISION,
    revision,
    tag,
  });
}

/** The configuration that makes the API server ask Galley about resources. Galley sets `failurePolicy` to Fail when it can answer. */
export function validator(revision: string): KubernetesObject {
  const isDefault = revision === DEFAULT_REVISION;
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: {
      name: revisioned('lateen-validator', revision),
      labels: { app: 'galley', [PART_OF]: 'lateen', [REVISION_LABEL]: revision },
    },
    webhooks: [
      {
        name: 'validation.lateen.io',
        clientConfig: {
          service: { name: revisioned('galley', revision), namespace: SYSTEM_NAMESPACE, path: '/validate', port: 443 },
        },
        rules: [
          {
            apiGroups: [...CONFIG_GROUPS],
            apiVersions: ['*'],
            resources: ['*'],
            operations: ['CREATE', 'UPDATE'],
            scope: '*',
          },
        ],
        // A resource that names another revision is that one's to judge.
        objectSelector: {
          matchExpressions: [isDefault ? isNotInOrAbsent() : isIn(REVISION_LABEL, [revision])],
        },
        failurePolicy: 'Ignore',
        sideEffects: 'None',
        timeoutSeconds: 10,
        admissionReviewVersions: ['v1'],
      },
    ],
  };
}

/** Without a revision of its own a resource is for all of them, and the default one judges it. */
function isNotInOrAbsent(): Expression {
  return isAbsent(REVISION_LABEL);
}
