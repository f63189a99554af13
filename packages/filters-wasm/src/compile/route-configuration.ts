// A route configuration as one table: virtual hosts by domain, their routes, and request mutations.

import {
  VirtualHost_TlsRequirementType as TlsRequirement,
  type VirtualHost,
  VirtualHostSchema,
} from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import * as T from '../table-layout.js';
import { BlobWriter } from './blob-writer.js';
import type { CompileContext } from './compile-context.js';
import { writeFilterConfigs } from './filters/filter-configs.js';
import { writeRouteIndex } from './match/route-index.js';
import { checkMutationCount, type Mutation, readMutations, writeMutations } from './mutations.js';
import { writePolicy } from './policy.js';
import { writeRoute } from './route.js';
import { join, refuseOtherFields } from './supported-fields.js';

/** Envoy's default of max_direct_response_body_size_bytes. */
const MAX_DIRECT_BODY_BYTES = 4096;

interface Domain {
  readonly name: string;
  readonly virtualHost: number;
}

/** Domains by how they match; a domain may stand only once in a configuration. */
class Domains {
  readonly exact: Domain[] = [];
  readonly suffix: Domain[] = [];
  readonly prefix: Domain[] = [];
  any = 0;
  readonly #seen = new Set<string>();

  constructor(private readonly context: CompileContext) {}

  add(path: string, text: string, virtualHost: number): void {
    const domain = text.toLowerCase();
    const { problems } = this.context;
    if (this.#seen.has(domain)) problems.add(path, `"${text}" stands in more than one virtual host`);
    this.#seen.add(domain);
    if (domain === '*') this.any = virtualHost;
    else if (domain.startsWith('*')) this.suffix.push({ name: domain.slice(1), virtualHost });
    else if (domain.endsWith('*')) this.prefix.push({ name: domain.slice(0, -1), virtualHost });
    else if (domain === '') problems.add(path, 'is empty');
    else this.exact.push({ name: domain, virtualHost });
    if (domain.slice(1, -1).includes('*')) problems.add(path, `"${text}": "*" is only allowed at one end`);
  }
}

/** The table's bytes. Problems go to the context's list; the bytes are only of use where there are none. */
export function writeRouteConfiguration(context: CompileContext, config: RouteConfiguration): Uint8Array {
  const { problems } = context;
  // Ports are ignored unless a domain names one, so ignore_port_in_host_matching only adds something for CONNECT.
  refuseOtherFields(
    problems,
    '',
    RouteConfigurationSchema,
    config,
    `name virtual_hosts request_headers_to_add request_headers_to_remove response_headers_to_add
     response_headers_to_remove most_specific_header_mutations_wins validate_clusters
     max_direct_response_body_size_bytes ignore_port_in_host_matching`,
  );
  const blob = new BlobWriter();
  blob.reserve(T.CONFIG_TABLE_BYTES);
  const request = readMutations(problems, '', 'request', config.requestHeadersToAdd, config.requestHeadersToRemove);
  blob.int(T.CONFIG_MUTATIONS, writeMutations(blob, request, context.hashName));
  blob.int(T.CONFIG_MUTATION_COUNT, request.length);
  blob.int(
    T.CONFIG_FLAGS,
    (config.mostSpecificHeaderMutationsWins ? T.CONFIG_FLAG_MOST_SPECIFIC_WINS : 0) |
      (config.ignorePortInHostMatching ? T.CONFIG_FLAG_IGNORE_CONNECT_PORT : 0),
  );
  const response = readMutations(problems, '', 'response', config.responseHeadersToAdd, config.responseHeadersToRemove);
  const domains = new Domains(context);
  config.virtualHosts.forEach((virtualHost, index) => {
    const path = `virtual_hosts[${index}]`;
    const at = writeVirtualHost(context, blob, path, virtualHost, config, response, request.length);
    if (virtualHost.domains.length === 0) problems.add(join(path, 'domains'), 'is empty');
    virtualHost.domains.forEach((domain, place) => {
      domains.add(join(path, `domains[${place}]`), domain, at);
    });
  });
  writeDomains(context, blob, domains);
  return blob.finish();
}

function writeVirtualHost(
  context: CompileContext,
  blob: BlobWriter,
  path: string,
  virtualHost: VirtualHost,
  config: RouteConfiguration,
  configResponse: readonly Mutation[],
  configRequestMutations: number,
): number {
  const { problems } = context;
  // virtual_clusters and metadata name things for statistics and logs; they change no request.
  refuseOtherFields(
    problems,
    path,
    VirtualHostSchema,
    virtualHost,
    `name domains routes require_tls virtual_clusters metadata typed_per_filter_config
     request_headers_to_add request_headers_to_remove
     response_headers_to_add response_headers_to_remove include_request_attempt_count
     include_attempt_count_in_response retry_policy per_request_buffer_limit_bytes rate_limits`,
  );
  const at = blob.reserve(T.VIRTUAL_HOST_BYTES);
  const request = readMutations(
    problems,
    path,
    'request',
    virtualHost.requestHeadersToAdd,
    virtualHost.requestHeadersToRemove,
  );
  blob.int(at + T.VIRTUAL_HOST_MUTATIONS, writeMutations(blob, request, context.hashName));
  blob.int(at + T.VIRTUAL_HOST_MUTATION_COUNT, request.length);
  if (virtualHost.requireTls === TlsRequirement.EXTERNAL_ONLY)
    problems.add(join(path, 'require_tls'), 'EXTERNAL_ONLY is not supported');
  if (virtualHost.requireTls === TlsRequirement.ALL) blob.int(at + T.VIRTUAL_HOST_FLAGS, T.VIRTUAL_HOST_REQUIRE_TLS);
  const response = readMutations(
    problems,
    path,
    'response',
    virtualHost.responseHeadersToAdd,
    virtualHost.responseHeadersToRemove,
  );
  const mostSpecificWins = config.mostSpecificHeaderMutationsWins;
  const local = mostSpecificWins ? [...configResponse, ...response] : [...response, ...configResponse];
  checkMutationCount(problems, path, 'response', local.length);
  const policy = writePolicy(context, { path, virtualHost, virtualHostPath: path, responseMutations: local });
  blob.int(at + T.VIRTUAL_HOST_POLICY, context.internPolicy(policy));

  writeFilterConfigs(
    context,
    blob,
    at + T.VIRTUAL_HOST_FILTERS,
    path,
    virtualHost.typedPerFilterConfig,
    virtualHost.name,
    { path, rateLimits: virtualHost.rateLimits, withHost: false, metadata: undefined, isRoute: false },
  );
  const routes = blob.reserve(virtualHost.routes.length * T.ROUTE_ENTRY_BYTES);
  blob.int(at + T.VIRTUAL_HOST_ROUTES, routes);
  blob.int(at + T.VIRTUAL_HOST_ROUTE_COUNT, virtualHost.routes.length);
  const scope = {
    virtualHost,
    virtualHostPath: path,
    maxDirectBodyBytes: config.maxDirectResponseBodySizeBytes ?? MAX_DIRECT_BODY_BYTES,
    outerRequestMutations: configRequestMutations + request.length,
    virtualHostResponse: response,
    configResponse,
    mostSpecificWins,
  };
  virtualHost.routes.forEach((route, index) => {
    writeRoute(context, blob, routes + index * T.ROUTE_ENTRY_BYTES, join(path, `routes[${index}]`), route, {
      ...scope,
      index,
    });
  });
  blob.int(at + T.VIRTUAL_HOST_ROUTE_INDEX, writeRouteIndex(context, blob, virtualHost.routes));
  return at;
}

/** The hash index of exact domains (at most half full) and the wildcard lists. */
function writeDomains(context: CompileContext, blob: BlobWriter, domains: Domains): void {
  let capacity = 4;
  while (capacity < domains.exact.length * 2) capacity *= 2;
  const index = blob.reserve(capacity * T.DOMAIN_ENTRY_BYTES);
  const taken = new Uint8Array(capacity);
  for (const domain of domains.exact) {
    const hash = context.hashName(domain.name);
    let place = hash & (capacity - 1);
    while (taken[place] === 1) place = (place + 1) & (capacity - 1);
    taken[place] = 1;
    const entry = index + place * T.DOMAIN_ENTRY_BYTES;
    blob.int(entry, hash);
    blob.text(entry + 4, domain.name);
    blob.int(entry + 12, domain.virtualHost);
  }
  blob.int(T.CONFIG_EXACT_MASK, capacity - 1);
  blob.int(T.CONFIG_EXACT_INDEX, index);
  blob.int(T.CONFIG_SUFFIX_LIST, writeWildcards(blob, domains.suffix));
  blob.int(T.CONFIG_SUFFIX_COUNT, domains.suffix.length);
  blob.int(T.CONFIG_PREFIX_LIST, writeWildcards(blob, domains.prefix));
  blob.int(T.CONFIG_PREFIX_COUNT, domains.prefix.length);
  blob.int(T.CONFIG_DEFAULT_VIRTUAL_HOST, domains.any);
}

function writeWildcards(blob: BlobWriter, list: readonly Domain[]): number {
  const longestFirst = [...list].sort((a, b) => b.name.length - a.name.length);
  const start = blob.reserve(list.length * T.WILDCARD_ENTRY_BYTES);
  longestFirst.forEach((domain, index) => {
    blob.text(start + index * T.WILDCARD_ENTRY_BYTES, domain.name);
    blob.int(start + index * T.WILDCARD_ENTRY_BYTES + 8, domain.virtualHost);
  });
  return start;
}
