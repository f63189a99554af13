// Errors: what is wrong with a configuration or a pod, all of it at once.

export class InjectionError extends Error {
  override readonly name = 'InjectionError';

  constructor(readonly problems: readonly string[]) {
    super(problems.join('; '));
  }
}
