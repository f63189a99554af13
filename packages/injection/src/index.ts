// Injection: whether a pod gets a proxy, why, and the pod with it. Reading order: decide/decide-injection.ts,
// inject/inject.ts, template/template-context.ts (what templates can use), config/load-config.ts, review/review-pod.ts.
export {
  defaultConfigTexts,
  type InjectionConfig,
  type InjectionConfigTexts,
  type Template,
} from './config/injection-config.js';
export { loadInjectionConfig } from './config/load-config.js';
export type { InjectionValues } from './config/values.js';
export { type DecisionSource, decideInjection } from './decide/decide-injection.js';
export type { InjectedCode, InjectionDecision, NotInjectedCode } from './decide/decision.js';
export { formatSelector, type LabelSelector, selects } from './decide/label-selector.js';
export { requireInjection } from './decide/require-injection.js';
export {
  DEFAULT_REVISION,
  galleyService,
  IGNORED_NAMESPACES,
  injectionWebhooks,
  type MutatingWebhook,
  type MutatingWebhookConfiguration,
  namesOfConfiguration,
  type WebhookOptions,
} from './decide/webhooks.js';
export { type Injection, inject } from './inject/inject.js';
export { type InjectionStatus, readStatus } from './inject/status.js';
export { strategicMerge } from './merge/strategic-merge.js';
export {
  type Container,
  INJECT_LABEL,
  NAMESPACE_LABEL,
  type Namespace,
  type ObjectMeta,
  type Pod,
  type PodSpec,
  PROXY_CONTAINER,
  proxyContainer,
  REVISION_LABEL,
  STATUS_ANNOTATION,
} from './pod.js';
export { InjectionError } from './problems.js';
export {
  type AdmissionAnswer,
  type AdmissionResponse,
  type AdmissionReview,
  InvalidReviewError,
  type PodReview,
  reviewPod,
} from './review/review-pod.js';
export { type AnnotationFindings, checkAnnotations } from './settings/annotations.js';
export { DEFAULT_MESH_SETTINGS, effectiveProxyConfig, type MeshSettings } from './settings/proxy-config.js';
export type { InjectionSource, InjectionTarget, TemplateContext } from './template/template-context.js';
export { findPods, type PlacedPod, WORKLOAD_KINDS } from './workloads/pod-template.js';
