// What is wrong with a regular expression, and where.

/** The message is one clause that can follow "the regular expression": `has an unexpected ")" at character 3`. */
export class RegexError extends Error {
  constructor(
    message: string,
    /** Index of the character (UTF-16 unit) in the source. */
    readonly position: number,
  ) {
    super(message);
    this.name = 'RegexError';
  }
}
