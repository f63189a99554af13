// Meaning of authorizers: their services, their paths, and the names of headers.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { isDnsLabel, isIpAddress, wildcardNameFault } from '../../declare/formats.js';
import { splitNamespacedHost } from '../../host.js';
import type { GrpcAuthorizer, HttpAuthorizer } from '../../kinds/policies/authorizer.js';
import type { FieldPath } from '../../problem.js';
import { checkPercents } from '../http/headers.js';
import { present } from '../rule.js';

/** Those that Envoy has names for. */
const STATUSES = new Set(
  [
    [100],
    [200, 201, 202, 203, 204, 205, 206, 207, 208, 226],
    [300, 301, 302, 303, 304, 305, 307, 308],
    [...Array.from({ length: 18 }, (_, index) => 400 + index), 421, 422, 423, 424, 426, 428, 429, 431],
    [500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511],
  ].flat(),
);
const LISTS = [
  'includeHeadersInCheck',
  'includeRequestHeadersInCheck',
  'headersToUpstreamOnAllow',
  'headersToDownstreamOnDeny',
  'headersToDownstreamOnAllow',
] as const;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: what would end a header is refused
const BAD_VALUE = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** Of both kinds. */
export function checkAuthorizer(
  authorizer: Loose<HttpAuthorizer | GrpcAuthorizer>,
  path: FieldPath,
  faults: FaultList,
): void {
  const { service, statusOnError } = authorizer;
  if (service !== undefined) checkService(service, [...path, 'service'], faults);
  if (statusOnError !== undefined && statusOnError !== '' && !STATUSES.has(Number(statusOnError))) {
    const message = `\`${statusOnError}\` is not a status that Envoy knows; write one such as "403" or "503"`;
    faults.error([...path, 'statusOnError'], 'enum', message);
  }
  const body = authorizer.includeRequestBodyInCheck;
  if (body && !('maxRequestBytes' in body)) {
    faults.error([...path, 'includeRequestBodyInCheck'], 'required', '`maxRequestBytes` is required; add it');
  }
}

/** Of the one over HTTP. */
export function checkHttpAuthorizer(authorizer: Loose<HttpAuthorizer>, path: FieldPath, faults: FaultList): void {
  checkAuthorizer(authorizer, path, faults);
  const { pathPrefix } = authorizer;
  if (pathPrefix !== undefined && pathPrefix !== '' && !/^\/[!-~]*$/.test(pathPrefix)) {
    const message = `\`${pathPrefix}\` is not the beginning of a path; write one that begins with /`;
    faults.error([...path, 'pathPrefix'], 'path', message);
  }
  for (const field of LISTS) {
    for (const [index, name] of present(authorizer[field])) {
      const at = [...path, field, index];
      if (name === '*') {
        faults.error(at, 'wildcard', '`*` alone is not possible; write names, `prefix*` or `*suffix`');
      } else if (!HEADER_NAME.test(name)) {
        faults.error(at, 'header', `\`${name}\` is not the name of a header; write one such as x-user`);
      }
    }
  }
  for (const [name, value] of Object.entries(authorizer.includeAdditionalHeadersInCheck ?? {})) {
    const at = [...path, 'includeAdditionalHeadersInCheck', name];
    if (!HEADER_NAME.test(name) || (value !== undefined && BAD_VALUE.test(value))) {
      const message = `\`${name}\` cannot be a header; write a name of letters, digits and \`-\`, and a value of one line`;
      faults.error(at, 'header', message);
    } else if (value !== undefined) checkPercents(value, at, faults);
  }
}

function checkService(service: string, path: FieldPath, faults: FaultList): void {
  const { namespace, host } = splitNamespacedHost(service);
  if (namespace !== undefined && !isDnsLabel(namespace)) {
    faults.error(path, 'host', `\`${namespace}\` is not a namespace; write NAMESPACE/HOST`);
    return;
  }
  if (namespace === undefined && isIpAddress(host)) return;
  const wrong = host.includes('*') ? 'is a wildcard' : wildcardNameFault(host);
  if (wrong) faults.error(path, 'host', `host \`${host}\` ${wrong}; write the full name of a service`);
}
