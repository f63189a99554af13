// Declarations: whether a regular expression is one in RE2's syntax. It is never run here; traffic never meets `RegExp`.

const UNSUPPORTED: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: /^\(\?<?[=!]/, what: 'looks ahead or behind' },
  { pattern: /^\(\?>/, what: 'has an atomic group' },
  { pattern: /^\\[1-9]/, what: 'refers back to a group' },
  { pattern: /^\\k</, what: 'refers back to a group' },
];

/** RE2 refuses a count above this (its own limit), because it is unrolled. */
const MAX_REPEAT = 1000;

/** Istio's limit on a regular expression, in characters: its program is larger than its text. */
const MAX_LENGTH = 1024;

/** What is wrong, with what to do; undefined where nothing is. RE2 (Envoy and Istio) lacks look-around and back-references. */
export function regexFault(source: string): string | undefined {
  if (source.length > MAX_LENGTH) {
    return `has ${source.length} characters, more than ${MAX_LENGTH}; write a shorter one`;
  }
  let inClass = false;
  for (let i = 0; i < source.length; i++) {
    const rest = source.slice(i, i + 4);
    if (!inClass) {
      const found = UNSUPPORTED.find(({ pattern }) => pattern.test(rest));
      if (found) return `${found.what}, which RE2 does not do; write it without`;
      const repeat = /^\{(\d+)(?:,(\d*))?\}/.exec(source.slice(i, i + 16));
      if (repeat && Math.max(Number(repeat[1]), Number(repeat[2] ?? 0)) > MAX_REPEAT) {
        return `repeats more than ${MAX_REPEAT} times, which RE2 refuses; write fewer`;
      }
    }
    if (rest[0] === '\\') i++;
    else if (inClass) inClass = rest[0] !== ']';
    else if (rest[0] === '[') inClass = true;
  }
  try {
    new RegExp(toEcmaScript(source), 'u');
    return undefined;
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error);
    return `is not valid (${reason}); write it in RE2's syntax`;
  }
}

/** RE2 spellings that `RegExp` with `u` does not take, replaced by ones of the same form, only to check the form. */
function toEcmaScript(source: string): string {
  return source
    .replace(/\(\?P</g, '(?<')
    .replace(/\(\?[imsU-]+\)/g, '')
    .replace(/\(\?[imsU-]+:/g, '(?:')
    .replace(/\[\[:\^?[a-z]+:\]\]/g, '[a]')
    .replace(/\[:\^?[a-z]+:\]/g, 'a')
    .replace(/\\[AzCQEa]/g, '')
    .replace(/\\([pP])([A-Z])(?![a-z{])/g, '\\$1{$2}')
    .replace(/\\x\{[0-9a-fA-F]+\}/g, 'a')
    .replace(/\\([^A-Za-z0-9^$\\.*+?()[\]{}|/-])/g, '$1')
    .replace(/\\-/g, '\\x2d');
}
