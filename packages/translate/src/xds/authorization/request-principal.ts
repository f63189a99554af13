// Build: a request principal, ISSUER/SUBJECT of a good token, as a matcher of its claims.

import { create } from '@bufbuild/protobuf';
import { type Principal, PrincipalSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import { anyText, claimText, exactText, textWithPrefix, textWithSuffix } from './value-matchers.js';

/** As Istio reads a value: the last `/` is the one between, since an issuer may be an address. */
export function requestPrincipal(value: string): Principal {
  const { issuer, subject } = partsOf(value);
  const claims = [claimText('iss', issuer), claimText('sub', subject)];
  const ids = claims.map((claim) => create(PrincipalSchema, { identifier: { case: 'metadata', value: claim } }));
  return create(PrincipalSchema, { identifier: { case: 'andIds', value: { ids } } });
}

function partsOf(value: string): { readonly issuer: StringMatcher; readonly subject: StringMatcher } {
  const slash = value.lastIndexOf('/');
  if (value === '*') return { issuer: anyText(), subject: anyText() };
  if (slash < 0) return undividedParts(value);
  const issuer = value.slice(0, slash);
  const subject = value.slice(slash + 1);
  // One wildcard, at one end of the whole.
  if (value.startsWith('*')) {
    return { issuer: issuer === '*' ? anyText() : textWithSuffix(issuer.slice(1)), subject: exactText(subject) };
  }
  if (!value.endsWith('*')) return { issuer: exactText(issuer), subject: exactText(subject) };
  return {
    issuer: exactText(issuer),
    subject: subject === '*' ? anyText() : textWithPrefix(subject.slice(0, -1)),
  };
}

/** Without `/` a wildcard stands for that, too. */
function undividedParts(value: string) {
  if (value.startsWith('*')) return { issuer: anyText(), subject: textWithSuffix(value.slice(1)) };
  if (value.endsWith('*')) return { issuer: textWithPrefix(value.slice(0, -1)), subject: anyText() };
  return { issuer: exactText(value), subject: exactText('') };
}
