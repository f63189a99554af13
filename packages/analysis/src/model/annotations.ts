// Model: annotations of Istio's on pods: which there are, and what their values may be, as injection takes them.

import { checkAnnotations } from '@lateen/injection';

const POD_ONLY = /^((traffic|status|readiness\.status)\.)?sidecar\.istio\.io\/|^(inject|proxy)\.istio\.io\//;

export const DEPRECATED_ANNOTATIONS: Readonly<Record<string, string>> = {
  'sidecar.istio.io/inject': 'use the label sidecar.istio.io/inject',
};

/** Whether an annotation is one that only pods have. */
export function isPodAnnotation(name: string): boolean {
  return POD_ONLY.test(name);
}

/** What is wrong with one annotation of a pod. */
export function checkInjectionAnnotations(
  name: string,
  value: string,
): { readonly problem?: string; readonly unknown?: string } {
  const { problems, warnings } = checkAnnotations({ [name]: value });
  return { problem: problems[0], unknown: warnings.find((each) => / is not known/.test(each)) };
}
