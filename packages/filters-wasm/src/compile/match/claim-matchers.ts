// Matchers of dynamic metadata, which here are the claims of verified tokens, as matchers of the core.

import { equals } from '@bufbuild/protobuf';
import { type MetadataMatcher, MetadataMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import { StringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { type ValueMatcher, ValueMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import { claimKey } from '../../claims/claims.js';
import * as C from '../../claims/claims-layout.js';
import * as T from '../../table-layout.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import { type Matcher, readStringMatcher } from './matchers.js';

/** The filter whose metadata there is. */
export const JWT_METADATA = 'envoy.filters.http.jwt_authn';

const ANY_KIND = C.CLAIM_STRING | C.CLAIM_ITEM | C.CLAIM_NUMBER | C.CLAIM_BOOL | C.CLAIM_OTHER;

/** What `dynamic_metadata` of a route match says. */
export function readClaimMatcher(problems: ProblemList, path: string, matcher: MetadataMatcher): Matcher {
  refuseOtherFields(problems, path, MetadataMatcherSchema, matcher, 'filter path value invert');
  const { invert, value } = matcher;
  const name = readClaimPath(problems, path, matcher);
  const base = { name, value: '', flags: invert ? T.MATCHER_FLAG_INVERT : 0, rangeStart: 0, rangeEnd: 0 };
  if (value === undefined) {
    problems.add(join(path, 'value'), 'is required');
    return { ...base, kind: T.MATCHER_PRESENT, claimKinds: ANY_KIND };
  }
  return { ...base, ...readValue(problems, join(path, 'value'), value, base.flags) };
}

/** The path of a claim below the filter's metadata. */
export function readClaimPath(
  problems: ProblemList,
  path: string,
  {
    filter,
    path: segments,
  }: Pick<MetadataMatcher, 'filter'> & {
    readonly path: readonly { readonly segment: { readonly case: string | undefined; readonly value?: unknown } }[];
  },
): string {
  if (filter !== JWT_METADATA) problems.add(join(path, 'filter'), `must be ${JWT_METADATA}: no other metadata is kept`);
  const names = segments.map(({ segment }) => (typeof segment.value === 'string' ? segment.value : ''));
  if (names.length === 0 || names.includes('')) problems.add(join(path, 'path'), 'must be a list of keys');
  return claimKey(names);
}

function readValue(
  problems: ProblemList,
  path: string,
  value: ValueMatcher,
  flags: number,
): Pick<Matcher, 'kind' | 'value' | 'flags' | 'regex' | 'claimKinds'> {
  const pattern = value.matchPattern;
  const never = { kind: T.MATCHER_PRESENT, value: '', flags, claimKinds: 0 };
  switch (pattern.case) {
    case 'stringMatch':
      return {
        ...readStringMatcher(problems, join(path, 'string_match'), pattern.value, flags),
        claimKinds: C.CLAIM_STRING,
      };
    case 'boolMatch':
      return { kind: T.MATCHER_EXACT, value: String(pattern.value), flags, claimKinds: C.CLAIM_BOOL };
    case 'presentMatch':
      // As in Envoy: `false` matches nothing.
      return pattern.value ? { ...never, claimKinds: ANY_KIND } : never;
    case 'listMatch': {
      const one = pattern.value.matchPattern;
      if (one.case === 'oneOf' && one.value.matchPattern.case === 'stringMatch') {
        const text = readValue(problems, join(path, 'list_match.one_of'), one.value, flags);
        return { ...text, claimKinds: C.CLAIM_ITEM };
      }
      problems.add(join(path, 'list_match'), 'only one_of with string_match is supported');
      return never;
    }
    case 'orMatch': {
      const parts = pattern.value.valueMatchers;
      const [first] = parts;
      const read = parts.map((part, index) =>
        readValue(problems, join(path, `or_match.value_matchers[${index}]`), part, flags),
      );
      if (first === undefined || read[0] === undefined || !parts.every((part) => isSameText(part, first))) {
        problems.add(join(path, 'or_match'), 'is supported for the same string_match as a value and as one of a list');
        return never;
      }
      return { ...read[0], claimKinds: read.reduce((kinds, { claimKinds = 0 }) => kinds | claimKinds, 0) };
    }
    default:
      refuseOtherFields(
        problems,
        path,
        ValueMatcherSchema,
        value,
        'string_match bool_match present_match list_match or_match',
      );
      if (pattern.case === undefined) problems.add(path, 'has no pattern');
      return never;
  }
}

function isSameText(a: ValueMatcher, b: ValueMatcher): boolean {
  const [left, right] = [textOf(a), textOf(b)];
  return left !== undefined && right !== undefined && equals(StringMatcherSchema, left, right);
}

function textOf({ matchPattern }: ValueMatcher) {
  if (matchPattern.case === 'stringMatch') return matchPattern.value;
  if (matchPattern.case !== 'listMatch' || matchPattern.value.matchPattern.case !== 'oneOf') return undefined;
  const one = matchPattern.value.matchPattern.value.matchPattern;
  return one.case === 'stringMatch' ? one.value : undefined;
}
