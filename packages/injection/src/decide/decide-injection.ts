// Decision: whether a pod gets a proxy, and why: first whether the API server asks about it, as the webhooks' selectors say,
// then what the Galley that is asked answers.

import type { InjectionConfig } from '../config/injection-config.js';
import {
  annotationsOf,
  INJECT_LABEL,
  labelsOf,
  NAMESPACE_LABEL,
  type Namespace,
  type Pod,
  REVISION_LABEL,
} from '../pod.js';
import { type InjectedCode, type InjectionDecision, notInjected } from './decision.js';
import { selects } from './label-selector.js';
import { requireInjection } from './require-injection.js';
import { IGNORED_NAMESPACES, type MutatingWebhookConfiguration, namesOfConfiguration } from './webhooks.js';

type Rules = Pick<InjectionConfig, 'policy' | 'neverInjectSelector' | 'alwaysInjectSelector'>;

export interface DecisionSource {
  /** Of every revision and tag. */
  readonly webhooks: readonly MutatingWebhookConfiguration[];
  /** The rules of a revision; undefined where they cannot be read, which counts as the defaults. */
  readonly rulesOf: (revision: string) => Rules | undefined;
}

const DEFAULT_RULES: Rules = { policy: 'enabled', neverInjectSelector: [], alwaysInjectSelector: [] };

/** One for each configuration whose webhooks match: usually one, none where nobody is asked. */
function askedWebhooks(pod: Pod, namespace: Namespace, source: DecisionSource) {
  // The API server sets this label itself.
  const namespaceLabels = { 'kubernetes.io/metadata.name': namespace.name, ...namespace.labels };
  return source.webhooks.flatMap((configuration) => {
    const webhook = configuration.webhooks.find(
      ({ namespaceSelector, objectSelector }) =>
        selects(namespaceSelector, namespaceLabels) && selects(objectSelector, labelsOf(pod)),
    );
    return webhook === undefined ? [] : [{ ...namesOfConfiguration(configuration), webhook: webhook.name }];
  });
}

/** Several revisions that all want a pod each inject it; the last one wins, which is said. */
export function decideInjection(pod: Pod, namespace: Namespace, source: DecisionSource): InjectionDecision {
  const asked = askedWebhooks(pod, namespace, source);
  const last = asked.at(-1);
  if (last === undefined) return whyNobodyIsAsked(pod, namespace, source);
  const { revision, webhook } = last;
  const answer = requireInjection(pod, namespace.name, source.rulesOf(revision) ?? DEFAULT_RULES);
  if (!answer.injected) return { ...answer, revision, webhook };
  const others = new Set(asked.map((each) => each.revision));
  others.delete(revision);
  const also = others.size === 0 ? '' : `; the webhooks of ${[...others].join(', ')} match too: remove all but one`;
  const why = whyAsked(pod, namespace, webhook, answer);
  return { injected: true, code: why.code, reason: `${why.reason}${also}`, revision, webhook };
}

/** What of the labels has made the API server ask says more than the policy. */
function whyAsked(pod: Pod, { name, labels }: Namespace, webhook: string, answer: InjectionDecision) {
  const because = (code: InjectedCode, reason: string) => ({ code, reason });
  if (answer.code !== 'by-default') return answer;
  const prefix = webhook.replace(/sidecar-injector\.istio\.io$/, '');
  const revision = labels[REVISION_LABEL] ?? labelsOf(pod)[REVISION_LABEL] ?? '';
  if (prefix.endsWith('rev.namespace.')) {
    return because('namespace-revision', `namespace ${name} has the label ${REVISION_LABEL}=${revision}`);
  }
  if (prefix.endsWith('rev.object.')) return because('pod-revision', `it has the label ${REVISION_LABEL}=${revision}`);
  if (prefix.endsWith('auto.')) return because('by-default', 'namespaces that say nothing are injected in this mesh');
  return because('namespace-label', `namespace ${name} has the label ${NAMESPACE_LABEL}=${labels[NAMESPACE_LABEL]}`);
}

function whyNobodyIsAsked(pod: Pod, namespace: Namespace, source: DecisionSource): InjectionDecision {
  const { name, labels } = namespace;
  const podLabels = labelsOf(pod);
  const own = podLabels[INJECT_LABEL];
  const wish = labels[NAMESPACE_LABEL];
  const names = source.webhooks.map((each) => namesOfConfiguration(each).name);
  if (pod.spec?.hostNetwork === true || IGNORED_NAMESPACES.includes(name)) {
    return requireInjection(pod, name, DEFAULT_RULES);
  }
  if (own === 'false') return notInjected('pod-opted-out', `its label ${INJECT_LABEL} is "false"`);
  if (wish !== undefined && wish !== 'enabled') {
    const meaning = wish === 'disabled' ? '' : ', which is not `enabled`';
    const code = wish === 'disabled' ? 'namespace-disabled' : 'invalid-value';
    return notInjected(
      code,
      `namespace ${name} has the label ${NAMESPACE_LABEL}=${wish}${meaning}; it stands above the labels of pods`,
    );
  }
  if (wish === 'enabled') {
    return notInjected(
      'unknown-revision',
      `namespace ${name} has the label ${NAMESPACE_LABEL}=enabled, but no revision is the default one; ${known(names)}`,
    );
  }
  const revision = labels[REVISION_LABEL] ?? podLabels[REVISION_LABEL];
  if (revision !== undefined) {
    const who = labels[REVISION_LABEL] === undefined ? 'it' : `namespace ${name}`;
    return notInjected(
      'unknown-revision',
      `${who} has the label ${REVISION_LABEL}=${revision}, but no revision or tag of that name is installed; ${known(names)}`,
    );
  }
  if (own !== undefined && own !== 'true') {
    return notInjected(
      'invalid-value',
      `its label ${INJECT_LABEL} is ${JSON.stringify(own)}, and namespace ${name} has no label: only "true" makes the API server ask`,
    );
  }
  if (own === 'true') {
    return notInjected(
      'unknown-revision',
      `its label ${INJECT_LABEL} is "true", but no revision is the default one; ${known(names)}`,
    );
  }
  if (annotationsOf(pod)[INJECT_LABEL] === 'true') {
    return notInjected(
      'nothing-says-so',
      `its annotation ${INJECT_LABEL}=true is nothing that the API server selects pods by, and namespace ${name} has no label: make it a label of the pod`,
    );
  }
  return notInjected(
    'nothing-says-so',
    `namespace ${name} has neither ${NAMESPACE_LABEL}=enabled nor ${REVISION_LABEL}, and the pod has neither ${INJECT_LABEL}=true nor ${REVISION_LABEL}: run \`kubectl label namespace ${name} ${NAMESPACE_LABEL}=enabled\` and restart the pod`,
  );
}

function known(names: readonly string[]): string {
  return names.length === 0
    ? 'no injection webhook is installed'
    : `installed: ${[...new Set(names)].sort().join(', ')}`;
}
