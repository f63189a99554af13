// Header and query parameter matchers as records of the core.
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
  type QueryParameterMatcher,
  QueryParameterMatcherSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RegexMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/regex_pb.js';
import { type StringMatcher, StringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { PSEUDO_CLAIM } from '../../claims/claims-layout.js';
import * as T from '../../table-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import { writeRegex } from './regex-table.js';

/** A matcher ready to be written. */
export interface Matcher {
  readonly name: string;
  readonly kind: number;
  readonly value: string;
  /** Of MATCHER_REGEX, in place of the value. */
  readonly regex?: {
    readonly path: string;
    readonly matcher: RegexMatcher;
    /** Bytes beyond ASCII are like this character. */
    readonly likeAll?: string;
  };
  readonly flags: number;
  readonly rangeStart: number;
  readonly rangeEnd: number;
  /** CLAIM_* bits: the name is the path of a claim. */
  readonly claimKinds?: number;
}

const PSEUDO: Readonly<Record<string, number>> = {
  ':method': T.PSEUDO_METHOD,
  ':path': T.PSEUDO_PATH,
  ':authority': T.PSEUDO_AUTHORITY,
  host: T.PSEUDO_AUTHORITY,
  ':scheme': T.PSEUDO_SCHEME,
};

/** PSEUDO_* of a name that is no real header's, else 0. */
export function pseudoHeader(name: string): number {
  return PSEUDO[name] ?? 0;
}

/** What `headers` of a route match says; a matcher without a value means presence. */
export function readHeaderMatcher(problems: ProblemList, path: string, matcher: HeaderMatcher): Matcher {
  refuseOtherFields(
    problems,
    path,
    HeaderMatcherSchema,
    matcher,
    `name exact_match safe_regex_match range_match present_match prefix_match suffix_match contains_match string_match
     invert_match treat_missing_header_as_empty`,
  );
  const name = matcher.name.toLowerCase();
  if (name === '') problems.add(join(path, 'name'), 'is empty');
  if (name.startsWith(':') && PSEUDO[name] === undefined)
    problems.add(join(path, 'name'), `"${name}" is not supported`);
  const flags =
    (matcher.invertMatch ? T.MATCHER_FLAG_INVERT : 0) |
    (matcher.treatMissingHeaderAsEmpty ? T.MATCHER_FLAG_MISSING_AS_EMPTY : 0);
  const base = { name, value: '', flags, rangeStart: 0, rangeEnd: 0 };
  const specifier = matcher.headerMatchSpecifier;
  switch (specifier.case) {
    case 'exactMatch':
      return { ...base, kind: T.MATCHER_EXACT, value: specifier.value };
    case 'prefixMatch':
      return { ...base, kind: T.MATCHER_PREFIX, value: specifier.value };
    case 'suffixMatch':
      return { ...base, kind: T.MATCHER_SUFFIX, value: specifier.value };
    case 'containsMatch':
      return { ...base, kind: T.MATCHER_CONTAINS, value: specifier.value };
    case 'safeRegexMatch':
      return {
        ...base,
        kind: T.MATCHER_REGEX,
        regex: { path: join(path, 'safe_regex_match'), matcher: specifier.value },
      };
    case 'presentMatch':
      return { ...base, kind: specifier.value ? T.MATCHER_PRESENT : T.MATCHER_ABSENT };
    case 'rangeMatch':
      return {
        ...base,
        kind: T.MATCHER_RANGE,
        rangeStart: safeInteger(problems, join(path, 'range_match.start'), specifier.value.start),
        rangeEnd: safeInteger(problems, join(path, 'range_match.end'), specifier.value.end),
      };
    case 'stringMatch':
      return { ...base, ...readStringMatcher(problems, join(path, 'string_match'), specifier.value, flags) };
    default:
      return { ...base, kind: T.MATCHER_PRESENT };
  }
}

/** What `query_parameters` of a route match says. */
export function readQueryMatcher(problems: ProblemList, path: string, matcher: QueryParameterMatcher): Matcher {
  refuseOtherFields(problems, path, QueryParameterMatcherSchema, matcher, 'name string_match present_match');
  const base = { name: matcher.name, value: '', flags: 0, rangeStart: 0, rangeEnd: 0 };
  const specifier = matcher.queryParameterMatchSpecifier;
  if (specifier.case === 'stringMatch') {
    return { ...base, ...readStringMatcher(problems, join(path, 'string_match'), specifier.value, 0) };
  }
  const absent = specifier.case === 'presentMatch' && !specifier.value;
  return { ...base, kind: absent ? T.MATCHER_ABSENT : T.MATCHER_PRESENT };
}

/** What one string matcher says of a text. `flags` are MATCHER_FLAG_* that it has besides. */
export function readStringMatcher(
  problems: ProblemList,
  path: string,
  matcher: StringMatcher,
  flags: number,
): Pick<Matcher, 'kind' | 'value' | 'flags' | 'regex'> {
  refuseOtherFields(
    problems,
    path,
    StringMatcherSchema,
    matcher,
    'exact prefix suffix contains safe_regex ignore_case',
  );
  const pattern = matcher.matchPattern;
  const withCase = matcher.ignoreCase ? flags | T.MATCHER_FLAG_IGNORE_CASE : flags;
  const kinds = {
    exact: T.MATCHER_EXACT,
    prefix: T.MATCHER_PREFIX,
    suffix: T.MATCHER_SUFFIX,
    contains: T.MATCHER_CONTAINS,
  } as const;
  switch (pattern.case) {
    case 'exact':
    case 'prefix':
    case 'suffix':
    case 'contains':
      return { kind: kinds[pattern.case], value: pattern.value, flags: withCase };
    // ignore_case does not concern an expression, which says (?i) itself.
    case 'safeRegex':
      return {
        kind: T.MATCHER_REGEX,
        value: '',
        flags,
        regex: { path: join(path, 'safe_regex'), matcher: pattern.value },
      };
    case undefined:
      problems.add(path, 'has no pattern');
      return { kind: T.MATCHER_EXACT, value: '', flags };
    default: // custom is refused above, by name
      return { kind: T.MATCHER_EXACT, value: '', flags };
  }
}

function safeInteger(problems: ProblemList, path: string, value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) problems.add(path, `is ${value}; only values of at most 2^53 - 1 are supported`);
  return number;
}

/** Writes records at the end of the blob; relative offset of the first. */
export function writeMatchers(
  problems: ProblemList,
  blob: BlobWriter,
  matchers: readonly Matcher[],
  hashName: (name: string) => number,
  pseudoNames: boolean,
): number {
  if (matchers.length === 0) return 0;
  const start = blob.reserve(matchers.length * T.MATCHER_BYTES);
  matchers.forEach((matcher, index) => {
    const at = start + index * T.MATCHER_BYTES;
    blob.text(at + T.MATCHER_NAME_OFFSET, matcher.name);
    blob.int(at + T.MATCHER_NAME_HASH, matcher.claimKinds ?? hashName(matcher.name));
    blob.int(at + T.MATCHER_KIND, matcher.kind);
    if (matcher.regex === undefined) blob.text(at + T.MATCHER_VALUE_OFFSET, matcher.value);
    else blob.int(at + T.MATCHER_VALUE_OFFSET, writeRegex(problems, blob, matcher.regex));
    blob.int(at + T.MATCHER_FLAGS, matcher.flags);
    const pseudo = matcher.claimKinds === undefined ? pseudoHeader(matcher.name) : PSEUDO_CLAIM;
    blob.int(at + T.MATCHER_PSEUDO, pseudoNames ? pseudo : 0);
    blob.float(at + T.MATCHER_RANGE_START, matcher.rangeStart);
    blob.float(at + T.MATCHER_RANGE_END, matcher.rangeEnd);
  });
  return start;
}
