// Build: the values of an AuthorizationPolicy as Envoy's matchers: exact, `prefix*`, `*suffix`, and `*` for anything that is there.

import { create } from '@bufbuild/protobuf';
import { type CidrRange, CidrRangeSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import {
  type HeaderMatcher,
  HeaderMatcherSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type MetadataMatcher, MetadataMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import { type StringMatcher, StringMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { type ValueMatcher, ValueMatcherSchema } from '@lateen/xds-proto/envoy/type/matcher/v3/value_pb.js';
import { quoted } from '../listeners/quota-matchers.js';
import { JWT_FILTER } from '../names.js';
import { metadataPath } from '../rules/claim-match.js';

const ANY = '*';

type Pattern = StringMatcher['matchPattern'];

/** A text that is there: as in Istio an empty one is not. */
export function anyText(): StringMatcher {
  return matcherOf(regexPattern('(?s).+'));
}

export function exactText(value: string): StringMatcher {
  return matcherOf({ case: 'exact', value });
}

export function textWithPrefix(value: string): StringMatcher {
  return matcherOf({ case: 'prefix', value });
}

export function textWithSuffix(value: string): StringMatcher {
  return matcherOf({ case: 'suffix', value });
}

/** An expression for the whole text. */
export function textByRegex(regex: string): StringMatcher {
  return matcherOf(regexPattern(regex));
}

/** As Istio reads a value; a second `*` is a character like another. */
export function textMatcher(value: string, ignoreCase = false): StringMatcher {
  if (value === ANY) return anyText();
  const pattern: Pattern = value.startsWith(ANY)
    ? { case: 'suffix', value: value.slice(1) }
    : value.endsWith(ANY)
      ? { case: 'prefix', value: value.slice(0, -1) }
      : { case: 'exact', value };
  return matcherOf(pattern, ignoreCase);
}

/** A SPIFFE id, of which policies leave out the scheme. */
export function principalMatcher(value: string): StringMatcher {
  const scheme = 'spiffe://';
  if (value === ANY) return anyText();
  if (value.startsWith(ANY)) return textByRegex(`${scheme}.*${quoted(value.slice(1))}`);
  return textMatcher(scheme + value);
}

/** A SPIFFE id of a namespace, whose name may have `*` for any part of it. */
export function namespaceMatcher(namespace: string): StringMatcher {
  const name = namespace.split(ANY).map(quoted).join('[^/]*');
  return textByRegex(`spiffe://[^/]+/ns/${name}/.*`);
}

/** `NAME` of the policy's namespace, or `NAMESPACE/NAME`, of any trust domain. */
export function accountMatcher(account: string, policyNamespace: string): StringMatcher {
  const [namespace, name] = account.includes('/') ? account.split('/') : [policyNamespace, account];
  return textByRegex(`spiffe://[^/]+/ns/${quoted(namespace ?? '')}/sa/${quoted(name ?? '')}`);
}

export function headerMatcher(name: string, value: string, ignoreCase = false): HeaderMatcher {
  return create(HeaderMatcherSchema, {
    name: name.toLowerCase(),
    headerMatchSpecifier:
      value === ANY
        ? { case: 'presentMatch', value: true }
        : { case: 'stringMatch', value: textMatcher(value, ignoreCase) },
  });
}

/** A header that has the value, or has it in a list with commas. */
export function listedHeaderMatcher(name: string, value: string): HeaderMatcher {
  if (value === ANY) return headerMatcher(name, value);
  const item = value.startsWith(ANY)
    ? `[^,]*${quoted(value.slice(1))}`
    : value.endsWith(ANY)
      ? `${quoted(value.slice(0, -1))}[^,]*`
      : quoted(value);
  return create(HeaderMatcherSchema, {
    name: name.toLowerCase(),
    headerMatchSpecifier: { case: 'stringMatch', value: textByRegex(`(?:.*,)?${item}(?:,.*)?`) },
  });
}

/** An address, or all of a subnet. */
export function addressRange(value: string): CidrRange {
  const [addressPrefix = '', length] = value.split('/');
  const whole = addressPrefix.includes(':') ? 128 : 32;
  return create(CidrRangeSchema, { addressPrefix, prefixLen: length === undefined ? whole : Number(length) });
}

/** A claim that is one text. */
export function claimText(name: string, text: StringMatcher): MetadataMatcher {
  return create(MetadataMatcherSchema, { filter: JWT_FILTER, path: metadataPath([name]), value: textValue(text) });
}

function textValue(text: StringMatcher): ValueMatcher {
  return create(ValueMatcherSchema, { matchPattern: { case: 'stringMatch', value: text } });
}

function regexPattern(regex: string): Pattern {
  return {
    case: 'safeRegex',
    value: { $typeName: 'envoy.type.matcher.v3.RegexMatcher', regex, engineType: { case: undefined } },
  };
}

function matcherOf(matchPattern: Pattern, ignoreCase = false): StringMatcher {
  return create(StringMatcherSchema, { matchPattern, ignoreCase });
}
