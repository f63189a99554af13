// Declarations: whether a regular expression is one that the proxies take: RE2's syntax, and not too large.
import { compileRegex, compileRewrite, RegexError } from '@lateen/regex';

/** Istio's limit on a regular expression, in characters: its program is larger than its text. */
const MAX_LENGTH = 1024;

/** What is wrong, as a clause after "the regular expression"; undefined where nothing is. */
export function regexFault(source: string): string | undefined {
  if (source.length > MAX_LENGTH) {
    return `has ${source.length} characters, more than ${MAX_LENGTH}; write a shorter one`;
  }
  return faultOf(() => compileRegex(source));
}

/** The same for an expression whose matches are replaced, and for what replaces them. */
export function rewriteFault(source: string, substitution: string): string | undefined {
  return faultOf(() => compileRewrite(source, substitution));
}

function faultOf(compile: () => unknown): string | undefined {
  try {
    compile();
    return undefined;
  } catch (error) {
    if (error instanceof RegexError) return `${error.message}; write another in RE2's syntax`;
    throw error;
  }
}
