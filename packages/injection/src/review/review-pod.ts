// Review: an AdmissionReview about a pod → its answer, as the API server expects it of a mutating webhook.

import type { InjectionDecision } from '../decide/decision.js';
import { requireInjection } from '../decide/require-injection.js';
import { inject } from '../inject/inject.js';
import type { Pod } from '../pod.js';
import { InjectionError } from '../problems.js';
import type { InjectionSource } from '../template/template-context.js';

/** `admission.k8s.io/v1`, as far as injection reads it. */
export interface AdmissionReview {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly request?: {
    readonly uid: string;
    readonly namespace?: string;
    readonly resource?: { readonly group?: string; readonly version?: string; readonly resource?: string };
    readonly object?: unknown;
    readonly [field: string]: unknown;
  };
}

export interface AdmissionResponse {
  readonly uid: string;
  readonly allowed: boolean;
  readonly patchType?: 'JSONPatch';
  /** Base64 of the patch. */
  readonly patch?: string;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message: string; readonly reason: string; readonly code: number };
}

export interface AdmissionAnswer {
  readonly apiVersion: 'admission.k8s.io/v1';
  readonly kind: 'AdmissionReview';
  readonly response: AdmissionResponse;
}

export interface PodReview {
  readonly outcome: 'injected' | 'skipped' | 'failed';
  /** What was decided or what is wrong, for the log. */
  readonly reason: string;
  readonly decision?: InjectionDecision;
  readonly answer: AdmissionAnswer;
}

/** A request that is no review at all. */
export class InvalidReviewError extends Error {
  override readonly name = 'InvalidReviewError';
}

/** An API server cuts longer warnings off. */
const MAX_WARNING = 256;

/** @throws InvalidReviewError where there is nobody to answer */
export function reviewPod(review: AdmissionReview, source: InjectionSource): PodReview {
  const { request } = review;
  if (review.kind !== 'AdmissionReview' || typeof request?.uid !== 'string' || request.uid === '') {
    throw new InvalidReviewError('an AdmissionReview with a request is expected');
  }
  const { uid, resource } = request;
  if (review.apiVersion !== 'admission.k8s.io/v1') {
    throw new InvalidReviewError(`an AdmissionReview of admission.k8s.io/v1 is expected, not of ${review.apiVersion}`);
  }
  if (resource?.resource !== 'pods' || typeof request.object !== 'object' || request.object === null) {
    return failed(uid, `the injection webhook is for pods, not for ${resource?.resource ?? 'nothing'}`);
  }
  const pod = request.object as Pod;
  const namespace = request.namespace ?? pod.metadata?.namespace ?? 'default';
  const decision = requireInjection(pod, namespace, source.config);
  if (!decision.injected) return skipped(uid, decision);
  try {
    const { patch, warnings } = inject({ pod, namespace }, source);
    const response: AdmissionResponse = {
      uid,
      allowed: true,
      ...(patch.length > 0 && { patchType: 'JSONPatch', patch: toBase64(JSON.stringify(patch)) }),
      ...(warnings.length > 0 && { warnings: warnings.map(shorten) }),
    };
    return { outcome: 'injected', reason: decision.reason, decision, answer: answer(response) };
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    return failed(uid, `the pod gets no proxy: ${error.message}`);
  }
}

/** Who looks for a proxy that is not there learns why in `kubectl`'s answer; one's own word needs no such answer. */
function skipped(uid: string, decision: InjectionDecision): PodReview {
  const tells = decision.code === 'host-network' || decision.code === 'invalid-value';
  const warnings = tells ? [shorten(`no proxy was injected: ${decision.reason}`)] : undefined;
  const response = { uid, allowed: true, ...(warnings !== undefined && { warnings }) };
  return { outcome: 'skipped', reason: decision.reason, decision, answer: answer(response) };
}

function failed(uid: string, message: string): PodReview {
  const status = { message, reason: 'Invalid', code: 422 };
  return { outcome: 'failed', reason: message, answer: answer({ uid, allowed: false, status }) };
}

function answer(response: AdmissionResponse): AdmissionAnswer {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response };
}

function shorten(text: string): string {
  return text.length <= MAX_WARNING ? text : `${text.slice(0, MAX_WARNING - 1)}…`;
}

function toBase64(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64');
}
