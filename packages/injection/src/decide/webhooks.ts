// Decision: the MutatingWebhookConfiguration of a revision or a tag. Its selectors are what the API server goes by when it
// asks for injection, and what `decideInjection` goes by: they are written once, here.

import { INJECT_LABEL, NAMESPACE_LABEL, REVISION_LABEL } from '../pod.js';
import type { LabelSelector } from './label-selector.js';

/** Namespaces of Kubernetes' own, never injected. */
export const IGNORED_NAMESPACES: readonly string[] = [
  'kube-system',
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
];

export const DEFAULT_REVISION = 'default';

/** As far as the decision reads it; what a cluster holds has more. */
export interface MutatingWebhook {
  readonly name: string;
  readonly namespaceSelector?: LabelSelector;
  readonly objectSelector?: LabelSelector;
  readonly [field: string]: unknown;
}

export interface MutatingWebhookConfiguration {
  readonly apiVersion: 'admissionregistration.k8s.io/v1';
  readonly kind: 'MutatingWebhookConfiguration';
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly webhooks: readonly MutatingWebhook[];
}

export interface WebhookOptions {
  /** Whose Galley is asked. */
  readonly revision?: string;
  /** Another name for that revision, which labels may say in its place. */
  readonly tag?: string;
  /** Also namespaces and pods that say nothing at all. */
  readonly enableNamespacesByDefault?: boolean;
  /** IfNeeded: asked again where a later webhook has changed the pod. */
  readonly reinvocationPolicy?: 'Never' | 'IfNeeded';
  readonly failurePolicy?: 'Fail' | 'Ignore';
  /** Base64 of the PEM; Galley keeps it current where it is left out. */
  readonly caBundle?: string;
  readonly namespace?: string;
}

export function galleyService(revision: string): string {
  return revision === DEFAULT_REVISION ? 'galley' : `galley-${revision}`;
}

const absent = (key: string) => ({ key, operator: 'DoesNotExist' }) as const;
const oneOf = (key: string, ...values: string[]) => ({ key, operator: 'In', values }) as const;
const NOT_OPTED_OUT = { key: INJECT_LABEL, operator: 'NotIn', values: ['false'] } as const;

type Case = Pick<MutatingWebhook, 'name' | 'namespaceSelector' | 'objectSelector'>;

/** Who says so: the namespace by revision, the pod by revision. A namespace's word stands above its pods'. */
function revisionCases(name: string): Case[] {
  return [
    {
      name: 'rev.namespace.sidecar-injector.istio.io',
      namespaceSelector: { matchExpressions: [oneOf(REVISION_LABEL, name), absent(NAMESPACE_LABEL)] },
      objectSelector: { matchExpressions: [NOT_OPTED_OUT] },
    },
    {
      name: 'rev.object.sidecar-injector.istio.io',
      namespaceSelector: { matchExpressions: [absent(REVISION_LABEL), absent(NAMESPACE_LABEL)] },
      objectSelector: { matchExpressions: [NOT_OPTED_OUT, oneOf(REVISION_LABEL, name)] },
    },
  ];
}

/** What goes to the default revision: labels that name none. */
function defaultCases(byDefault: boolean): Case[] {
  const cases: Case[] = [
    {
      name: 'namespace.sidecar-injector.istio.io',
      namespaceSelector: { matchExpressions: [oneOf(NAMESPACE_LABEL, 'enabled')] },
      objectSelector: { matchExpressions: [NOT_OPTED_OUT] },
    },
    {
      name: 'object.sidecar-injector.istio.io',
      namespaceSelector: { matchExpressions: [absent(NAMESPACE_LABEL), absent(REVISION_LABEL)] },
      objectSelector: { matchExpressions: [oneOf(INJECT_LABEL, 'true'), absent(REVISION_LABEL)] },
    },
  ];
  if (!byDefault) return cases;
  const notIgnored = { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: IGNORED_NAMESPACES } as const;
  return [
    ...cases,
    {
      name: 'auto.sidecar-injector.istio.io',
      namespaceSelector: { matchExpressions: [absent(NAMESPACE_LABEL), absent(REVISION_LABEL), notIgnored] },
      objectSelector: { matchExpressions: [absent(INJECT_LABEL), absent(REVISION_LABEL)] },
    },
  ];
}

function configurationName(revision: string, tag: string | undefined): string {
  if (tag !== undefined) return `lateen-revision-tag-${tag}`;
  return revision === DEFAULT_REVISION ? 'lateen-sidecar-injector' : `lateen-sidecar-injector-${revision}`;
}

/** The configuration of a revision, or of a tag that stands for it. */
export function injectionWebhooks(options: WebhookOptions = {}): MutatingWebhookConfiguration {
  const { revision = DEFAULT_REVISION, tag, namespace = 'istio-system', caBundle } = options;
  const name = tag ?? revision;
  const cases = [
    ...revisionCases(name),
    ...(name === DEFAULT_REVISION ? defaultCases(options.enableNamespacesByDefault ?? false) : []),
  ];
  const service = { name: galleyService(revision), namespace, path: '/inject', port: 443 };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: {
      name: configurationName(revision, tag),
      labels: { app: 'sidecar-injector', [REVISION_LABEL]: revision, ...(tag && { 'istio.io/tag': tag }) },
    },
    webhooks: cases.map((each) => ({
      ...each,
      clientConfig: { service, ...(caBundle !== undefined && { caBundle }) },
      rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], scope: '*' }],
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      failurePolicy: options.failurePolicy ?? 'Fail',
      matchPolicy: 'Equivalent',
      reinvocationPolicy: options.reinvocationPolicy ?? 'Never',
      timeoutSeconds: 10,
    })),
  };
}

/** Which revision's Galley a configuration asks, and by which name labels call it. */
export function namesOfConfiguration(configuration: MutatingWebhookConfiguration): { revision: string; name: string } {
  const { labels = {} } = configuration.metadata;
  const revision = labels[REVISION_LABEL] ?? DEFAULT_REVISION;
  return { revision, name: labels['istio.io/tag'] ?? revision };
}
