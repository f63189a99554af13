// Substitution: what replaces a match, in RE2's notation: `\0` is the match, `\1` to `\9` its groups, `\\` a backslash.
import { RegexError } from './regex-error.js';

/** A text, or the number of a group. */
export type SubstitutionPart = string | number;

/** @throws RegexError for another escape, or a group that the expression does not have */
export function parseSubstitution(text: string, groups: number): readonly SubstitutionPart[] {
  const parts: SubstitutionPart[] = [];
  let plain = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '\\') {
      plain += text[at];
      continue;
    }
    at++;
    const letter = text[at];
    if (letter === '\\') plain += '\\';
    else if (letter !== undefined && letter >= '0' && letter <= '9') {
      if (Number(letter) > groups) {
        throw new RegexError(`names group \\${letter}, but the expression has ${groups} group(s)`, at - 1);
      }
      if (plain !== '') parts.push(plain);
      plain = '';
      parts.push(Number(letter));
    } else {
      throw new RegexError(`has "\\${letter ?? ''}" at character ${at}; write \\0 to \\9 for a group, or \\\\`, at - 1);
    }
  }
  if (plain !== '') parts.push(plain);
  return parts;
}
