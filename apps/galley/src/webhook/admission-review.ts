// Webhook: what the API server asks and is answered: AdmissionReview of admission.k8s.io, v1 and v1beta1 (the fields are the same).
// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
import type { CustomResource } from '@lateen/kubernetes';

// A type and not an interface, so that it fits where further fields are allowed.
export type AdmissionRequest = {
  readonly uid: string;
  readonly kind: { readonly group: string; readonly version: string; readonly kind: string };
  readonly resource?: { readonly group: string; readonly version: string; readonly resource: string };
  readonly subResource?: string;
  readonly operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT';
  /** '' for what belongs to the cluster. */
  readonly namespace?: string;
  /** Empty where the API server is still to choose it. */
  readonly name?: string;
  /** Null for a deletion. */
  readonly object?: CustomResource | null;
  readonly oldObject?: CustomResource | null;
  readonly dryRun?: boolean;
  readonly userInfo?: { readonly username?: string; readonly groups?: readonly string[] };
};

/** What a webhook decides. */
export interface AdmissionAnswer {
  readonly allowed: boolean;
  /** Why not; `kubectl` prints it. */
  readonly message?: string;
  /** HTTP status of a refusal; 400 unless given. */
  readonly code?: number;
  /** `kubectl` prints each on a line of its own; the API server cuts them off at 256 characters. */
  readonly warnings?: readonly string[];
  /** RFC 6902 operations, of a mutating webhook. */
  readonly patch?: readonly object[];
}

export interface AdmissionReview {
  readonly apiVersion: string;
  readonly kind: 'AdmissionReview';
  readonly request: AdmissionRequest;
}

const VERSIONS: readonly unknown[] = ['admission.k8s.io/v1', 'admission.k8s.io/v1beta1'];

/** @throws Error saying what is missing */
export function parseAdmissionReview(text: string): AdmissionReview {
  const value = JSON.parse(text) as Partial<AdmissionReview> | null;
  if (typeof value !== 'object' || value === null || value.kind !== 'AdmissionReview') {
    throw new Error('the body is no AdmissionReview');
  }
  if (!VERSIONS.includes(value.apiVersion))
    throw new Error(`apiVersion ${value.apiVersion} is none of ${VERSIONS.join(', ')}`);
  const { request } = value;
  if (typeof request !== 'object' || request === null) throw new Error('the AdmissionReview has no request');
  if (typeof request.uid !== 'string' || typeof request.kind?.kind !== 'string') {
    throw new Error('the request of the AdmissionReview has no uid or no kind');
  }
  return value as AdmissionReview;
}

/** The review that answers another. */
export function answerReview({ apiVersion, request }: AdmissionReview, answer: AdmissionAnswer): object {
  const { allowed, message, code = 400, warnings = [], patch } = answer;
  return {
    apiVersion,
    kind: 'AdmissionReview',
    response: {
      uid: request.uid,
      allowed,
      ...(!allowed && { status: { code, message: message ?? 'refused' } }),
      ...(warnings.length > 0 && { warnings }),
      ...(allowed &&
        patch !== undefined &&
        patch.length > 0 && {
          patchType: 'JSONPatch',
          patch: Buffer.from(JSON.stringify(patch)).toString('base64'),
        }),
    },
  };
}
