// Build: a header condition that is about a claim (`@request.auth.claims…`) as a matcher of dynamic metadata, as Istio does.

import { create } from '@bufbuild/protobuf';
import { claimPath } from '@lateen/istio-config';
import { type MetadataMatcher, MetadataMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { type ValueMatcher, ValueMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import { JWT_FILTER, JWT_PAYLOAD } from '../names.js';

const PREFIX = '@request.auth.claims';

/** The names that lead to a claim; undefined where the header is a header. */
export function routedClaim(header: string): readonly string[] | undefined {
  return header.toLowerCase().startsWith(PREFIX) ? claimPath(header.slice(PREFIX.length)) : undefined;
}

/** @param matcher undefined: the claim has to be there */
export function claimMatcher(
  claims: readonly string[],
  matcher: StringMatcher | undefined,
  invert: boolean,
): MetadataMatcher {
  return create(MetadataMatcherSchema, {
    filter: JWT_FILTER,
    path: metadataPath(claims),
    value: matcher === undefined ? present() : textOrItem(matcher),
    invert,
  });
}

/** Where the filter for tokens puts a claim. */
export function metadataPath(claims: readonly string[]) {
  return [JWT_PAYLOAD, ...claims].map((key) => ({ segment: { case: 'key' as const, value: key } }));
}

function present(): ValueMatcher {
  return create(ValueMatcherSchema, { matchPattern: { case: 'presentMatch', value: true } });
}

/** A claim may be a text, or a list with the text among others. */
function textOrItem(matcher: StringMatcher): ValueMatcher {
  const text = create(ValueMatcherSchema, { matchPattern: { case: 'stringMatch', value: matcher } });
  const item = create(ValueMatcherSchema, {
    matchPattern: { case: 'listMatch', value: { matchPattern: { case: 'oneOf', value: text } } },
  });
  return create(ValueMatcherSchema, { matchPattern: { case: 'orMatch', value: { valueMatchers: [text, item] } } });
}
