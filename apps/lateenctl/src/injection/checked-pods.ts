// Injection: pods and what decides about them → for each, whether it is injected and why.

import {
  DEFAULT_REVISION,
  type DecisionSource,
  decideInjection,
  type InjectionDecision,
  InjectionError,
  loadInjectionConfig,
  type MutatingWebhookConfiguration,
  type Pod,
  proxyContainer,
} from '@lateen/injection';
import { formatTable } from '../output/table.js';

/** A pod, or the template of a workload's pods. */
export interface GivenPod {
  /** `web-5d4f-x2x`, in files `Deployment/web`. */
  readonly name: string;
  readonly namespace: string;
  readonly pod: Pod;
}

export interface GivenMesh {
  /** Labels by name. */
  readonly namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly webhooks: readonly MutatingWebhookConfiguration[];
  /** Texts of the ConfigMaps istio-sidecar-injector, by revision. */
  readonly configs: ReadonlyMap<string, { readonly config?: string; readonly values?: string }>;
}

export interface CheckedPod extends InjectionDecision {
  readonly name: string;
  readonly namespace: string;
  /** Whether it has a proxy: a pod that runs may be older than the labels. */
  readonly hasProxy: boolean;
}

const WEBHOOK_NAME = /(^|\.)sidecar-injector\.istio\.io$/;

/** Whether a configuration is one of injection, of Lateen or of Istio. */
export function isInjectionWebhook({
  webhooks,
}: {
  readonly webhooks?: readonly { readonly name: string }[];
}): boolean {
  return webhooks?.some(({ name }) => WEBHOOK_NAME.test(name)) ?? false;
}

/** The ConfigMap of a revision. */
export function configMapName(revision: string): string {
  return revision === DEFAULT_REVISION ? 'istio-sidecar-injector' : `istio-sidecar-injector-${revision}`;
}

/** @param warn told of what cannot be used; the defaults count in its place, as the webhook keeps its last good ones */
export function checkPods(pods: readonly GivenPod[], mesh: GivenMesh, warn: (text: string) => void): CheckedPod[] {
  const rules = new Map([...mesh.configs].map(([revision, texts]) => [revision, readRules(revision, texts, warn)]));
  // As the API server does it: in the order of their names.
  const webhooks = [...mesh.webhooks].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  const source: DecisionSource = { webhooks, rulesOf: (revision) => rules.get(revision) };
  return pods.map(({ name, namespace, pod }) => ({
    name,
    namespace,
    hasProxy: proxyContainer(pod) !== undefined,
    ...decideInjection(pod, { name: namespace, labels: mesh.namespaces.get(namespace) ?? {} }, source),
  }));
}

function readRules(revision: string, texts: { config?: string; values?: string }, warn: (text: string) => void) {
  try {
    return loadInjectionConfig(texts);
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    warn(`ConfigMap ${configMapName(revision)} is wrong: ${error.message}`);
    return undefined;
  }
}

/** @param running whether these pods run, so that they have a proxy or not, whatever would be decided today */
export function checkedPodsText(pods: readonly CheckedPod[], running: boolean): string {
  const heading = ['NAME', 'NAMESPACE', 'INJECTED', ...(running ? ['HAS PROXY'] : []), 'REVISION', 'WEBHOOK', 'WHY'];
  const word = (value: boolean) => (value ? 'yes' : 'no');
  const rows = pods.map((pod) => [
    pod.name,
    pod.namespace,
    word(pod.injected),
    ...(running ? [word(pod.hasProxy)] : []),
    pod.revision ?? '-',
    pod.webhook ?? '-',
    running ? pod.reason + restartHint(pod) : pod.reason,
  ]);
  return formatTable(heading, rows);
}

function restartHint({ injected, hasProxy }: CheckedPod): string {
  if (injected === hasProxy) return '';
  return injected
    ? '; it is older than that: restart it to get its proxy'
    : '; it has a proxy of before: restart it to be without';
}
