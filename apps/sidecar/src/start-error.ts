// Process: why it cannot start, in words for the operator.

/** Thrown where the process cannot start; main.ts prints the message and ends with exit code 1. */
export class StartError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StartError';
  }
}
