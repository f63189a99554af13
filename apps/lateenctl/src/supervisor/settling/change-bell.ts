// Supervisor: tells whoever waits that something of what runs has changed.

/** Wakes whoever waits for a change of what runs. */
export class ChangeBell {
  readonly #sleepers = new Set<() => void>();

  ring(): void {
    for (const wake of [...this.#sleepers]) wake();
  }

  /** Resolves at the next change, at the latest after the limit. */
  next(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#sleepers.delete(wake);
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(wake, limitMs);
      this.#sleepers.add(wake);
    });
  }
}
