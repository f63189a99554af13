// Webhook: `/validate`. An object that is created or changed is checked by the rules of `apply`, and refused in the same words.
import { formatProblem, isIstioKind, type Problem } from '@lateen/istio-config';
import { readResource } from '../kubernetes/read-resource.js';
import { type ConfigRules, problemsOfChange } from '../rules.js';
import { hasErrors } from '../sources/ownership.js';
import type { ConfigState } from '../store/config-store.js';
import { type AdmissionAnswer, type AdmissionRequest, answerReview } from './admission-review.js';
import type { AdmissionHandler } from './webhook-server.js';

export interface ValidatorOptions {
  readonly rules: ConfigRules;
  /** What is in force: references to what is not there are warnings. */
  readonly state: () => ConfigState;
  /** Told of each object that was checked. */
  readonly onValidated: (kind: string, problems: readonly Problem[]) => void;
}

const ALLOWED: AdmissionAnswer = { allowed: true };

export function createValidator({ rules, state, onValidated }: ValidatorOptions): AdmissionHandler {
  return (review) => answerReview(review, decide(review.request));

  function decide({ kind, operation, subResource, object, namespace }: AdmissionRequest): AdmissionAnswer {
    if (operation !== 'CREATE' && operation !== 'UPDATE') return ALLOWED;
    if (!isIstioKind(kind.kind) || subResource || !object) return ALLOWED;
    // Whoever takes the last finalizer off a bad object must be able to.
    if (object.metadata?.deletionTimestamp !== undefined) return ALLOWED;
    const named = { ...object, metadata: { ...object.metadata, namespace: object.metadata?.namespace ?? namespace } };
    const read = readResource(kind.kind, named, rules);
    const problems = [...read.problems];
    if (read.content !== undefined) {
      const change = { put: [read.content], remove: [] };
      const together = problemsOfChange(rules, state(), change, new Set([read.key]));
      problems.push(...together.filter(({ file }) => file === read.content?.source.file));
    }
    onValidated(kind.kind, problems);
    return answerOf(problems);
  }
}

function answerOf(problems: readonly Problem[]): AdmissionAnswer {
  const text = (severity: Problem['severity']) =>
    problems.filter((problem) => problem.severity === severity).map(admissionText);
  const warnings = text('warning');
  if (!hasErrors(problems)) return { allowed: true, warnings };
  return { allowed: false, message: text('error').join('\n'), code: 422, warnings };
}

/** As `lateenctl validate` prints it, but for the place in a file, which an API server does not know. */
export function admissionText(problem: Problem): string {
  return formatProblem({ ...problem, file: '', line: 0, severity: 'error' });
}
