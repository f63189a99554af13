// Decision: whether Galley injects a pod that it is asked about: host network, the pod's own word, selectors, policy.

import type { InjectionConfig } from '../config/injection-config.js';
import { annotationsOf, INJECT_LABEL, labelsOf, type Pod } from '../pod.js';
import { type InjectionDecision, notInjected } from './decision.js';
import { formatSelector, isEmptySelector, selects } from './label-selector.js';
import { IGNORED_NAMESPACES } from './webhooks.js';

/** YAML 1.1's words for true, as Istio takes them; of others, those that are known to mean false are no mistake. */
const YES = new Set(['true', 'yes', 'on', 'y']);
const NO = new Set(['false', 'no', 'off', 'n']);

type Rules = Pick<InjectionConfig, 'policy' | 'neverInjectSelector' | 'alwaysInjectSelector'>;

/** The pod's own word: its label, else its annotation (deprecated). */
function ownWord(pod: Pod): { value: string; by: 'label' | 'annotation' } | undefined {
  const label = labelsOf(pod)[INJECT_LABEL];
  if (label !== undefined) return label === '' ? undefined : { value: label, by: 'label' };
  const annotation = annotationsOf(pod)[INJECT_LABEL];
  return annotation === undefined || annotation === '' ? undefined : { value: annotation, by: 'annotation' };
}

/** In Istio's order: host network, namespaces of Kubernetes, the pod's word, never, always, the policy. */
export function requireInjection(pod: Pod, namespace: string, rules: Rules): InjectionDecision {
  if (pod.spec?.hostNetwork === true) {
    return notInjected(
      'host-network',
      'the pod uses the network of its node (hostNetwork: true): redirect rules would take the traffic of the whole node',
    );
  }
  if (IGNORED_NAMESPACES.includes(namespace)) {
    return notInjected(
      'ignored-namespace',
      `${namespace} is one of Kubernetes' own namespaces, which are never injected`,
    );
  }
  return byOwnWord(pod) ?? bySelectors(pod, rules) ?? byPolicy(rules);
}

function byOwnWord(pod: Pod): InjectionDecision | undefined {
  const own = ownWord(pod);
  if (own === undefined) return undefined;
  const text = `its ${own.by} ${INJECT_LABEL} is ${JSON.stringify(own.value)}`;
  if (YES.has(own.value)) {
    return { injected: true, code: own.by === 'label' ? 'pod-label' : 'pod-annotation', reason: text };
  }
  if (NO.has(own.value)) return notInjected('pod-opted-out', text);
  return notInjected('invalid-value', `${text}, which is neither "true" nor "false" and counts as "false"`);
}

function bySelectors(pod: Pod, rules: Rules): InjectionDecision | undefined {
  const matching = (selectors: InjectionConfig['neverInjectSelector']) =>
    selectors.find((selector) => !isEmptySelector(selector) && selects(selector, labelsOf(pod)));
  const never = matching(rules.neverInjectSelector);
  if (never !== undefined) {
    return notInjected('never-selector', `neverInjectSelector has ${formatSelector(never)}, which selects it`);
  }
  const always = matching(rules.alwaysInjectSelector);
  if (always === undefined) return undefined;
  const reason = `alwaysInjectSelector has ${formatSelector(always)}, which selects it`;
  return { injected: true, code: 'always-selector', reason };
}

function byPolicy({ policy }: Rules): InjectionDecision {
  if (policy === 'enabled') return { injected: true, code: 'by-default', reason: 'the policy is `enabled`' };
  return notInjected('policy-disabled', `the policy is \`disabled\` and the pod has no label ${INJECT_LABEL}=true`);
}
