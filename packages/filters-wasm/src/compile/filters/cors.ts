// Envoy's CORS policy as an immutable record: which origins are allowed, and what answers tell them.

import { type CorsPolicy, CorsPolicySchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import * as F from '../../filter-layout.js';
import { MUTATION_OVERWRITE } from '../../table-layout.js';
import { BlobWriter } from '../blob-writer.js';
import { millionths } from '../fraction.js';
import { readStringMatcher, writeMatchers } from '../match/matchers.js';
import { type Mutation, writeMutations } from '../mutations.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';

const ALL = 1_000_000;

/** The record's bytes. `hashName` is the core's. */
export function compileCors(
  problems: ProblemList,
  path: string,
  policy: CorsPolicy,
  hashName: (name: string) => number,
): Uint8Array {
  // shadow_enabled decides about statistics alone, and there is no runtime.
  refuseOtherFields(
    problems,
    path,
    CorsPolicySchema,
    policy,
    `allow_origin_string_match allow_methods allow_headers expose_headers max_age allow_credentials filter_enabled
     shadow_enabled allow_private_network_access forward_not_matching_preflights`,
  );
  const blob = new BlobWriter();
  blob.reserve(F.CORS_BYTES);
  const share = millionths(policy.filterEnabled?.defaultValue);
  blob.int(F.CORS_SHARE, policy.filterEnabled === undefined ? ALL : Math.max(share, 0));
  blob.int(F.CORS_FORWARD_UNMATCHED, policy.forwardNotMatchingPreflights === false ? 0 : 1);
  const origins = policy.allowOriginStringMatch.map((matcher, index) => ({
    name: '',
    rangeStart: 0,
    rangeEnd: 0,
    ...readStringMatcher(problems, join(path, `allow_origin_string_match[${index}]`), matcher, 0),
  }));
  blob.int(F.CORS_ORIGINS, writeMatchers(problems, blob, origins, hashName, false));
  blob.int(F.CORS_ORIGIN_COUNT, origins.length);

  const header = (name: string, value: string): Mutation[] => {
    checkValue(problems, path, name, value);
    return value === '' ? [] : [{ kind: MUTATION_OVERWRITE, name: `access-control-${name}`, value }];
  };
  const shared = [
    ...header('allow-credentials', policy.allowCredentials === true ? 'true' : ''),
    ...header('expose-headers', policy.exposeHeaders),
  ];
  const preflight = [
    ...header('allow-methods', policy.allowMethods),
    ...header('allow-headers', policy.allowHeaders),
    ...header('max-age', policy.maxAge),
  ];
  const privately = header('allow-private-network', policy.allowPrivateNetworkAccess === true ? 'true' : '');
  blob.int(F.CORS_MUTATIONS, writeMutations(blob, [...shared, ...preflight, ...privately], hashName));
  blob.int(F.CORS_SHARED_COUNT, shared.length);
  blob.int(F.CORS_PREFLIGHT_COUNT, shared.length + preflight.length);
  blob.int(F.CORS_PRIVATE_COUNT, shared.length + preflight.length + privately.length);
  return blob.finish();
}

function checkValue(problems: ProblemList, path: string, name: string, value: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in a header value
  if (!/[\u0000-\u0008\u000a-\u001f\u007f]/.test(value)) return;
  problems.add(join(path, name.replaceAll('-', '_')), 'has a control character');
}
