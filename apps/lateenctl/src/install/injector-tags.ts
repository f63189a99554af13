// Installation: names that namespaces say for a revision.

import {
  buildManifests,
  type Component,
  DEFAULT_REVISION,
  type KubernetesObject,
  REVISION_LABEL,
  TAG_LABEL,
  type WholeValues,
} from '@lateen/installation';
import type { ObjectWriter } from './object-writer.js';

export const INJECTORS = { apiVersion: 'admissionregistration.k8s.io/v1', kind: 'MutatingWebhookConfiguration' };

export interface InstalledTag {
  readonly tag: string;
  readonly revision: string;
}

export async function installedTags(writer: ObjectWriter): Promise<readonly InstalledTag[]> {
  const found = await writer.list(INJECTORS, TAG_LABEL);
  return found
    .map(({ metadata }) => ({
      tag: metadata.labels?.[TAG_LABEL] ?? '',
      revision: metadata.labels?.[REVISION_LABEL] ?? '',
    }))
    .sort((a, b) => (a.tag < b.tag ? -1 : 1));
}

/** Whether anybody's injector answers for `istio-injection=enabled`. */
export async function injectsByLabel(writer: ObjectWriter): Promise<boolean> {
  const all = await writer.list(INJECTORS, '');
  return all.some(claimsInjectionLabel);
}

export function claimsInjectionLabel(object: KubernetesObject): boolean {
  const { webhooks = [] } = object as { webhooks?: readonly { readonly namespaceSelector?: Selector }[] };
  return webhooks.some(({ namespaceSelector }) =>
    namespaceSelector?.matchExpressions?.some(
      ({ key, operator, values }) =>
        key === 'istio-injection' && operator === 'In' && values?.includes('enabled') === true,
    ),
  );
}

interface Selector {
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: readonly string[];
  }[];
}

/** What an installation consists of in this cluster: where a tag `default` means another revision, injection by label is left to that. */
export async function componentsFor(writer: ObjectWriter, values: WholeValues): Promise<readonly Component[]> {
  const tags = await installedTags(writer);
  const isTagged = tags.some(({ tag }) => tag === DEFAULT_REVISION);
  return buildManifests(values, isTagged ? { byInjectionLabel: false } : {});
}

export async function manifestsFor(writer: ObjectWriter, values: WholeValues): Promise<readonly KubernetesObject[]> {
  return (await componentsFor(writer, values)).flatMap(({ objects }) => objects);
}
