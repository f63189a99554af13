// Resource validation: checks that several resource types share. Each adds its problems; none throws.

import { existsSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Duration } from '@bufbuild/protobuf/wkt';
import type { Address } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import type { HeaderValueOption } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { ConfigSource } from '@lateen/xds-proto/envoy/config/core/v3/config_source_pb.js';
import type { FieldProblem } from '../support/support-types.js';

/** Gathers problems under a path. */
export class ProblemCollector {
  readonly problems: FieldProblem[] = [];

  add(path: string, message: string): void {
    this.problems.push({ path, message });
  }
}

/** Name of the gRPC cluster that stands for the sidecar's own identity, as in Istio's bootstrap. */
export const LOCAL_SDS_CLUSTER = 'sds-grpc';
export const MAX_PORT = 65_535;
const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
/** Labels as resolvers take them, the underscore of service names included. */
const HOST_NAME = /^(?=.{1,254}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$/;
/** Line ends and NUL would end the header or the message. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters that are refused
const BAD_HEADER_VALUE = /[\u0000\r\n]/;

export function checkDuration(duration: Duration | undefined, path: string, out: ProblemCollector, minMs = 0): void {
  if (duration === undefined) return;
  const ms = durationMs(duration);
  if (duration.seconds < 0n || duration.nanos < 0) out.add(path, 'must not be negative');
  else if (ms < minMs) out.add(path, `must be at least ${minMs} ms`);
}

export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/**
 * An IP address with a port.
 * @param minPort 0 where the system may choose the port
 * @param names whether a host name may stand in place of the address
 * @param pipes whether a pipe may stand in place of address and port
 */
export function checkIpAddress(
  address: Address | undefined,
  path: string,
  out: ProblemCollector,
  minPort: number,
  names = false,
  pipes = false,
): void {
  // An internal address was reported as not supported.
  if (address === undefined || address.address.case === undefined) {
    out.add(path, 'an address is required');
    return;
  }
  if (address.address.case === 'pipe') {
    const { path: file } = address.address.value;
    if (!pipes) out.add(`${path}.pipe`, 'is not supported here: give an IP address and a port');
    else if (!/^(@.|\/.*[^/]$)/.test(file)) out.add(`${path}.pipe.path`, 'is neither an absolute path nor @NAME');
  }
  if (address.address.case !== 'socketAddress') return;
  const { address: host, portSpecifier } = address.address.value;
  const at = `${path}.socket_address`;
  if (host === '') out.add(`${at}.address`, 'an IP address is required');
  else if (isIP(host) === 0) {
    if (!names) out.add(`${at}.address`, `${JSON.stringify(host)} is not an IP address`);
    else if (!HOST_NAME.test(host)) out.add(`${at}.address`, `${JSON.stringify(host)} is no host name`);
  }
  if (portSpecifier.case === undefined) out.add(`${at}.port_value`, 'a port is required');
  else if (portSpecifier.case === 'portValue' && (portSpecifier.value > MAX_PORT || portSpecifier.value < minPort)) {
    out.add(`${at}.port_value`, `${portSpecifier.value} is not a port; expected ${minPort} to ${MAX_PORT}`);
  }
}

export function checkHeaderName(name: string, path: string, out: ProblemCollector): void {
  if (name === '') out.add(path, 'a header name is required');
  else if (!HEADER_NAME.test(name.startsWith(':') ? name.slice(1) : name)) {
    out.add(path, `${JSON.stringify(name)} is not a header name`);
  }
}

/** The four lists of header changes that routes, virtual hosts, route configurations and weights have. */
export function checkHeaderMutations(
  holder: {
    readonly requestHeadersToAdd: readonly HeaderValueOption[];
    readonly requestHeadersToRemove: readonly string[];
    readonly responseHeadersToAdd: readonly HeaderValueOption[];
    readonly responseHeadersToRemove: readonly string[];
  },
  path: string,
  out: ProblemCollector,
): void {
  const prefix = path === '' ? '' : `${path}.`;
  const additions = {
    request_headers_to_add: holder.requestHeadersToAdd,
    response_headers_to_add: holder.responseHeadersToAdd,
  };
  for (const [field, options] of Object.entries(additions)) {
    options.forEach(({ header }, index) => {
      const at = `${prefix}${field}[${index}].header`;
      if (header === undefined) {
        out.add(at, 'a header is required');
        return;
      }
      checkHeaderName(header.key, `${at}.key`, out);
      if (BAD_HEADER_VALUE.test(header.value)) out.add(`${at}.value`, 'holds a character that no header may hold');
    });
  }
  const removals = {
    request_headers_to_remove: holder.requestHeadersToRemove,
    response_headers_to_remove: holder.responseHeadersToRemove,
  };
  for (const [field, names] of Object.entries(removals)) {
    names.forEach((name, index) => {
      const at = `${prefix}${field}[${index}]`;
      checkHeaderName(name, at, out);
      if (name.startsWith(':') || name.toLowerCase() === 'host') out.add(at, `${name} cannot be removed`);
    });
  }
}

/** Where resources come from: the one ADS stream, a file, or, for the own identity, this process. */
export function checkConfigSource(
  source: ConfigSource | undefined,
  path: string,
  out: ProblemCollector,
  options: { readonly localSds: boolean } = { localSds: false },
): void {
  if (source === undefined) {
    out.add(path, 'is required; use `ads: {}` or `path_config_source`');
    return;
  }
  checkDuration(source.initialFetchTimeout, `${path}.initial_fetch_timeout`, out);
  const { configSourceSpecifier } = source;
  if (configSourceSpecifier.case === 'ads') return;
  if (configSourceSpecifier.case === undefined) {
    out.add(path, 'says no source; use `ads: {}` or `path_config_source`');
    return;
  }
  if (configSourceSpecifier.case === 'path') {
    checkExists(configSourceSpecifier.value, `${path}.path`, out);
    return;
  }
  if (configSourceSpecifier.case === 'pathConfigSource') {
    const { path: file, watchedDirectory } = configSourceSpecifier.value;
    checkExists(file, `${path}.path_config_source.path`, out);
    if (watchedDirectory !== undefined) {
      checkExists(watchedDirectory.path, `${path}.path_config_source.watched_directory.path`, out);
    }
    return;
  }
  if (configSourceSpecifier.case !== 'apiConfigSource') return; // reported as not supported
  const [service] = configSourceSpecifier.value.grpcServices;
  const cluster = service?.targetSpecifier.case === 'envoyGrpc' ? service.targetSpecifier.value.clusterName : '';
  if (options.localSds && cluster === LOCAL_SDS_CLUSTER) return;
  out.add(
    `${path}.api_config_source`,
    `a stream of its own is not supported; use \`ads: {}\` or \`path_config_source\``,
  );
}

/** As Envoy, which takes only what exists when it is told of it. */
export function checkExists(file: string, path: string, out: ProblemCollector): void {
  if (file === '') out.add(path, 'is required');
  else if (!existsSync(file)) out.add(path, `${file} does not exist`);
}

/** Adds a problem for each value that was there before. */
export function checkUnique(
  values: readonly string[],
  pathOf: (index: number) => string,
  what: string,
  out: ProblemCollector,
): void {
  const seen = new Map<string, number>();
  values.forEach((value, index) => {
    const first = seen.get(value);
    if (first === undefined) seen.set(value, index);
    else out.add(pathOf(index), `${what} ${JSON.stringify(value)} is used before, at ${pathOf(first)}`);
  });
}
