// The hash policies of a route: what of a request is hashed, and which cookies are made.
import {
  type RouteAction_HashPolicy,
  RouteAction_HashPolicy_ConnectionPropertiesSchema,
  type RouteAction_HashPolicy_Cookie,
  RouteAction_HashPolicy_CookieSchema,
  RouteAction_HashPolicy_HeaderSchema,
  RouteAction_HashPolicy_QueryParameterSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { PSEUDO_AUTHORITY, PSEUDO_METHOD, PSEUDO_PATH } from '../../table-layout.js';
import type { BlobWriter } from '../blob-writer.js';
import type { ProblemList } from '../problems.js';
import { refuseOtherFields } from '../supported-fields.js';
import * as H from './hash-layout.js';

const PSEUDO: Readonly<Record<string, number>> = {
  ':authority': PSEUDO_AUTHORITY,
  host: PSEUDO_AUTHORITY,
  ':path': PSEUDO_PATH,
  ':method': PSEUDO_METHOD,
};

const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;
/** What an attribute of a cookie may hold (RFC 6265, 4.1.1). */
const ATTRIBUTE = /^[\x20-\x3a\x3c-\x7e]*$/;

/** Writes POLICY_HASHES into a policy record. */
export function writeHashPolicies(
  problems: ProblemList,
  path: string,
  policies: readonly RouteAction_HashPolicy[],
  blob: BlobWriter,
  hashName: (name: string) => number,
): void {
  if (policies.length === 0) return;
  if (policies.length > H.MAX_HASHES) {
    problems.add(path, `has ${policies.length} entries; at most ${H.MAX_HASHES} are supported`);
    return;
  }
  const list = blob.reserve(H.HASHES_FIRST + policies.length * H.HASH_BYTES);
  blob.int(H.POLICY_HASHES, list);
  blob.int(list, policies.length);
  policies.forEach((policy, index) => {
    const at = list + H.HASHES_FIRST + index * H.HASH_BYTES;
    if (policy.terminal) blob.addBits(at + H.HASH_FLAGS, H.HASH_FLAG_TERMINAL);
    writeSpecifier(problems, `${path}[${index}]`, policy.policySpecifier, blob, at, hashName);
  });
}

function writeSpecifier(
  problems: ProblemList,
  path: string,
  specifier: RouteAction_HashPolicy['policySpecifier'],
  blob: BlobWriter,
  at: number,
  hashName: (name: string) => number,
): void {
  switch (specifier.case) {
    case 'header': {
      refuseOtherFields(
        problems,
        `${path}.header`,
        RouteAction_HashPolicy_HeaderSchema,
        specifier.value,
        'header_name',
      );
      const name = specifier.value.headerName.toLowerCase();
      const pseudo = PSEUDO[name];
      if (pseudo === undefined && !TOKEN.test(name)) problems.add(`${path}.header.header_name`, `"${name}" is not one`);
      blob.int(at + H.HASH_KIND, pseudo === undefined ? H.HASH_OF_HEADER : H.HASH_OF_PSEUDO_HEADER);
      blob.text(at + H.HASH_NAME_OFFSET, name);
      blob.int(at + H.HASH_NAME_HASH, pseudo ?? hashName(name));
      break;
    }
    case 'cookie':
      writeCookie(problems, `${path}.cookie`, specifier.value, blob, at, hashName);
      break;
    case 'queryParameter': {
      const { value } = specifier;
      refuseOtherFields(
        problems,
        `${path}.query_parameter`,
        RouteAction_HashPolicy_QueryParameterSchema,
        value,
        'name',
      );
      if (value.name === '') problems.add(`${path}.query_parameter.name`, 'is empty');
      blob.int(at + H.HASH_KIND, H.HASH_OF_PARAMETER);
      blob.text(at + H.HASH_NAME_OFFSET, value.name);
      break;
    }
    case 'connectionProperties': {
      const where = `${path}.connection_properties`;
      const { value } = specifier;
      refuseOtherFields(problems, where, RouteAction_HashPolicy_ConnectionPropertiesSchema, value, 'source_ip');
      if (!value.sourceIp) problems.add(`${where}.source_ip`, 'must be true: there is nothing else to hash');
      blob.int(at + H.HASH_KIND, H.HASH_OF_SOURCE_ADDRESS);
      break;
    }
    default:
      problems.add(path, 'must have header, cookie, connection_properties or query_parameter');
  }
}

/** A cookie with a ttl (0: for the session) is made where it is absent. */
function writeCookie(
  problems: ProblemList,
  path: string,
  cookie: RouteAction_HashPolicy_Cookie,
  blob: BlobWriter,
  at: number,
  hashName: (name: string) => number,
): void {
  refuseOtherFields(problems, path, RouteAction_HashPolicy_CookieSchema, cookie, 'name ttl path attributes');
  if (!TOKEN.test(cookie.name)) problems.add(`${path}.name`, `"${cookie.name}" is not the name of a cookie`);
  if (!ATTRIBUTE.test(cookie.path)) problems.add(`${path}.path`, `"${cookie.path}" is not the path of a cookie`);
  cookie.attributes.forEach(({ name, value }, index) => {
    if (TOKEN.test(name) && ATTRIBUTE.test(value)) return;
    problems.add(`${path}.attributes[${index}]`, `"${name}=${value}" is not an attribute of a cookie`);
  });
  blob.int(at + H.HASH_KIND, H.HASH_OF_COOKIE);
  blob.text(at + H.HASH_NAME_OFFSET, cookie.name);
  blob.int(at + H.HASH_NAME_HASH, hashName('cookie'));
  if (cookie.ttl === undefined) return;
  blob.addBits(at + H.HASH_FLAGS, H.HASH_FLAG_MAKE_COOKIE);
  const attributes = [
    ...(cookie.ttl.seconds > 0n ? [`Max-Age=${cookie.ttl.seconds}`] : []),
    ...(cookie.path === '' ? [] : [`Path=${cookie.path}`]),
    ...cookie.attributes.map(({ name, value }) => (value === '' ? name : `${name}=${value}`)),
    'HttpOnly',
  ];
  blob.text(at + H.HASH_SET_COOKIE_OFFSET, 'set-cookie');
  blob.text(at + H.HASH_BEFORE_OFFSET, `${cookie.name}="`);
  blob.text(at + H.HASH_AFTER_OFFSET, `"; ${attributes.join('; ')}`);
}
