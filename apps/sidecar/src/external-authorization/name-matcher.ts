// External authorization: lists of matchers (ListStringMatcher) for names of headers, and the matcher of one text.

import type { ListStringMatcher, StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';

/** Names are in lower case. */
export type NameMatcher = (name: string) => boolean;

export const NO_NAME: NameMatcher = () => false;
export const ANY_NAME: NameMatcher = () => true;

/** One text; problems (an expression, an empty matcher) go to `problem`. */
export function compileText(
  matcher: StringMatcher,
  path: string,
  problem: (path: string, message: string) => void,
): (text: string) => boolean {
  const { matchPattern, ignoreCase } = matcher;
  const cased = (text: string) => (ignoreCase ? text.toLowerCase() : text);
  switch (matchPattern.case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains': {
      const value = cased(matchPattern.value);
      if (matchPattern.case === 'exact') return (text) => cased(text) === value;
      if (matchPattern.case === 'prefix') return (text) => cased(text).startsWith(value);
      if (matchPattern.case === 'suffix') return (text) => cased(text).endsWith(value);
      return (text) => cased(text).includes(value);
    }
    default:
      problem(path, 'is not supported but for exact, prefix, suffix and contains');
      return NO_NAME;
  }
}

/** One of the list. Undefined where there is none. */
export function compileNames(
  list: ListStringMatcher | undefined,
  path: string,
  problem: (path: string, message: string) => void,
): NameMatcher | undefined {
  if (list === undefined) return undefined;
  const matchers = list.patterns.map((pattern, index) =>
    // Names are in lower case, so what is not could never match: as in Envoy it does where `ignore_case` is set.
    compileText(pattern, `${path}.patterns[${index}]`, problem),
  );
  return (name) => matchers.some((matches) => matches(name));
}
