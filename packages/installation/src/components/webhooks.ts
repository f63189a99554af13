// Components: which requests the API server asks Galley about: documents to validate, pods to inject.

import { injectionWebhooks } from '@lateen/injection';
import { type KubernetesObject, PART_OF, REVISION_LABEL, revisioned, SYSTEM_NAMESPACE } from '../objects.js';
import { CONFIG_GROUPS } from './galley.js';

/** The label of a MutatingWebhookConfiguration that is a tag: a name for a revision. */
export const TAG_LABEL = 'istio.io/tag';

/**
 * The configuration that makes the API server ask a revision's Galley about new pods. Its `caBundle` is Galley's to write.
 * @param byInjectionLabel whether `istio-injection=enabled` means it too, which only one configuration of a cluster may say
 */
function injector(revision: string, tag: string | undefined, byInjectionLabel: boolean): KubernetesObject {
  const { metadata, webhooks, ...rest } = injectionWebhooks({ revision, tag, reinvocationPolicy: 'IfNeeded' });
  return {
    ...rest,
    metadata: { ...metadata, labels: { ...metadata.labels, [PART_OF]: 'lateen' } },
    webhooks: webhooks.filter(({ name }) => byInjectionLabel || name.startsWith('rev.')),
  };
}

/** The configuration of a revision's own injector. */
export function injectorOf(revision: string, byInjectionLabel = true): KubernetesObject {
  return injector(revision, undefined, byInjectionLabel);
}

/** A tag: another name for a revision; the tag `default` is what `istio-injection=enabled` means. */
export function revisionTag(tag: string, revision: string): KubernetesObject {
  return injector(revision, tag, true);
}

/**
 * The configuration that makes the API server ask Galley about resources: those that name its revision, and those that name
 * none, which every revision serves and so judges. Galley sets `failurePolicy` to Fail when it can answer.
 */
export function validator(revision: string): KubernetesObject {
  const selected = [
    { name: 'validation.lateen.io', expression: { key: REVISION_LABEL, operator: 'DoesNotExist' } },
    { name: 'rev.validation.lateen.io', expression: { key: REVISION_LABEL, operator: 'In', values: [revision] } },
  ];
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: {
      name: revisioned('lateen-validator', revision),
      labels: { app: 'galley', [PART_OF]: 'lateen', [REVISION_LABEL]: revision },
    },
    webhooks: selected.map(({ name, expression }) => ({
      name,
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
      objectSelector: { matchExpressions: [expression] },
      failurePolicy: 'Ignore',
      sideEffects: 'None',
      timeoutSeconds: 10,
      admissionReviewVersions: ['v1'],
    })),
  };
}
