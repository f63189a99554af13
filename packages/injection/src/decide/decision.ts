// Decision: what it says: a code for programs, and the reason in words.

/** Why a pod is injected. */
export type InjectedCode =
  | 'namespace-label'
  | 'namespace-revision'
  | 'pod-label'
  | 'pod-annotation'
  | 'pod-revision'
  | 'by-default'
  | 'always-selector';

/** Why it is not. */
export type NotInjectedCode =
  | 'host-network'
  | 'ignored-namespace'
  | 'namespace-disabled'
  | 'nothing-says-so'
  | 'unknown-revision'
  | 'pod-opted-out'
  | 'never-selector'
  | 'policy-disabled'
  | 'invalid-value';

export interface InjectionDecision {
  readonly injected: boolean;
  readonly code: InjectedCode | NotInjectedCode;
  /** A sentence without its full stop: what decided it, and where it is not injected what would change it. */
  readonly reason: string;
  /** Whose Galley is asked; undefined where nobody is. */
  readonly revision?: string;
  /** Which webhook matches. */
  readonly webhook?: string;
}

export function notInjected(code: NotInjectedCode, reason: string): InjectionDecision {
  return { injected: false, code, reason };
}
