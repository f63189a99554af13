// Injection: the annotation that says what was injected, by which the next injection takes it out again.

import { isObject } from '../config/deep-merge.js';
import { annotationsOf, type Pod, STATUS_ANNOTATION } from '../pod.js';
import { InjectionError } from '../problems.js';

/** Names of what templates have put into a pod, as Istio writes them. */
export interface InjectionStatus {
  readonly initContainers: readonly string[];
  readonly containers: readonly string[];
  readonly volumes: readonly string[];
  readonly imagePullSecrets: readonly string[];
  readonly revision: string;
}

export const STATUS_LISTS = ['initContainers', 'containers', 'volumes', 'imagePullSecrets'] as const;

export function readStatus(pod: Pod): InjectionStatus | undefined {
  const text = annotationsOf(pod)[STATUS_ANNOTATION];
  if (text === undefined) return undefined;
  const value = parseObject(text, STATUS_ANNOTATION);
  const names = (field: string) => {
    const list = value[field];
    return Array.isArray(list) ? list.filter((each) => typeof each === 'string') : [];
  };
  return {
    initContainers: names('initContainers'),
    containers: names('containers'),
    volumes: names('volumes'),
    imagePullSecrets: names('imagePullSecrets'),
    revision: typeof value.revision === 'string' ? value.revision : '',
  };
}

/** @throws InjectionError naming the annotation */
export function parseObject(text: string, annotation: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (isObject(value)) return value;
  throw new InjectionError([`annotation ${annotation} is no JSON object; remove it`]);
}
