// Expressions for SPIFFE ids of any trust domain, as policies about namespaces and service accounts become: the index finds what
// follows the trust domain like any other text, where it would have to run the expressions one by one.
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import * as T from '../../table-layout.js';
import type { Matcher } from '../match/matchers.js';

/** A literal behind any trust domain, and whether anything may follow it. */
const SPIFFE_ID = /^spiffe:\/\/\[\^\/\]\+(\/(?:[A-Za-z0-9/_-]|\\[./_-])*)(\.\*)?$/;

/** The text that the path of the id must be, or begin with; undefined for any other expression. */
export function readSpiffePath({ matchPattern }: StringMatcher): Pick<Matcher, 'kind' | 'value' | 'flags'> | undefined {
  const [, literal, open] = matchPattern.case === 'safeRegex' ? (SPIFFE_ID.exec(matchPattern.value.regex) ?? []) : [];
  if (literal === undefined) return undefined;
  const kind = open === undefined ? T.MATCHER_EXACT : T.MATCHER_PREFIX;
  return { kind, value: literal.replaceAll('\\', ''), flags: 0 };
}
