// Output: how a command fails: what people read, and the exit code that scripts read.

export const EXIT = {
  ok: 0,
  /** What was asked for was looked at and is not so: invalid documents, a name that does not exist, a refused change. */
  failed: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** No mesh runs here, or a part of it does not answer. */
  unreachable: 3,
} as const;

/** A failure with a text for people. */
export class CliError extends Error {
  constructor(
    message: string,
    readonly exitCode: number = EXIT.failed,
  ) {
    super(message);
  }
}

export class UsageError extends CliError {
  constructor(message: string) {
    super(message, EXIT.usage);
  }
}

export class UnreachableError extends CliError {
  constructor(message: string) {
    super(message, EXIT.unreachable);
  }
}

/** A failure of which everything was printed already. */
export class ReportedError extends CliError {
  constructor(exitCode: number = EXIT.failed) {
    super('', exitCode);
  }
}
