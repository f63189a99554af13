// Kubernetes: what Galley knows of a resource, in the form of Istio's `status` (conditions, validationMessages, observedGeneration).
import { formatProblem, type Problem } from '@lateen/istio-config';
import { hasErrors } from '../sources/ownership.js';

export interface StatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
  readonly lastProbeTime?: string;
  readonly observedGeneration?: number | string;
}

export interface ValidationMessage {
  readonly type: { readonly name: string; readonly code: string };
  readonly level: 'ERROR' | 'WARNING';
  readonly documentationUrl: string;
  /** Lateen's own: Istio's message has no text. */
  readonly message: string;
}

/** The part of a status that Galley writes; other conditions are others'. */
export interface ResourceStatus {
  readonly conditions?: readonly StatusCondition[];
  readonly validationMessages?: readonly ValidationMessage[];
  readonly observedGeneration?: number | string;
  readonly [field: string]: unknown;
}

/** Whether the resource is in force as it stands. */
export const ACCEPTED = 'Accepted';

export interface Finding {
  readonly problems: readonly Problem[];
  readonly generation: number | undefined;
  /** True when an earlier version of a resource with errors is in force. */
  readonly lastGoodStays: boolean;
}

const MAX_MESSAGES = 20;
const MAX_TEXT = 1_000;

/** What the status should be; undefined where it is so already. @param now RFC 3339 */
export function statusChange(before: ResourceStatus | undefined, finding: Finding, now: string): object | undefined {
  const { problems, generation } = finding;
  const conditions = before?.conditions ?? [];
  const old = conditions.find(({ type }) => type === ACCEPTED);
  const fresh = acceptedCondition(finding);
  const lastTransitionTime = old?.status === fresh.status ? (old.lastTransitionTime ?? now) : now;
  const condition = { ...fresh, lastTransitionTime };
  const messages = problems.slice(0, MAX_MESSAGES).map(validationMessage);
  const isSame =
    same(pick(old), pick(condition)) &&
    same(before?.validationMessages ?? [], messages) &&
    String(before?.observedGeneration ?? '') === String(generation ?? '');
  if (isSame) return undefined;
  return {
    conditions:
      old === undefined ? [...conditions, condition] : conditions.map((one) => (one === old ? condition : one)),
    // A merge takes null for "away".
    validationMessages: messages.length > 0 ? messages : null,
    observedGeneration: generation ?? null,
  };
}

function acceptedCondition({ problems, generation, lastGoodStays }: Finding): StatusCondition {
  const observed = { type: ACCEPTED, observedGeneration: generation };
  if (!hasErrors(problems)) return { ...observed, status: 'True', reason: 'Valid', message: 'in force' };
  const errors = problems.filter(({ severity }) => severity === 'error').map(plainText);
  const rest = lastGoodStays ? 'the last good version of it stays in force' : 'nothing of it is in force';
  return { ...observed, status: 'False', reason: 'Invalid', message: cut(`${rest}: ${errors.join('; ')}`) };
}

function validationMessage(problem: Problem): ValidationMessage {
  return {
    type: { name: problem.code, code: problem.code },
    level: problem.severity === 'error' ? 'ERROR' : 'WARNING',
    documentationUrl: '',
    message: cut(plainText(problem)),
  };
}

/** Path and what is wrong: the resource itself need not be named in its own status. */
function plainText(problem: Problem): string {
  return formatProblem({ ...problem, file: '', line: 0, kind: '', namespace: '', name: '', severity: 'error' });
}

function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}

function pick(condition: StatusCondition | undefined): unknown[] {
  const { status, reason, message, observedGeneration } = condition ?? {};
  return [status, reason, message, String(observedGeneration ?? '')];
}

function same(a: unknown, b: unknown): boolean {
  return canonical(a) === canonical(b);
}

/** The API server keeps no order of fields. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each !== 'object' || each === null || Array.isArray(each)) return each;
    return Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
