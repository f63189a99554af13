// Downstream: compiles a listener's filter chains; chains whose bytes did not change keep their objects and connections.

import { isIP } from 'node:net';
import { type DescMessage, toBinary } from '@bufbuild/protobuf';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ProxyProtocolConfig_Version } from '@lateen/xds-proto/envoy/config/core/v3/proxy_protocol_pb.js';
import {
  type FilterChain,
  FilterChainSchema,
  type ListenerFilter,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { Listener } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { HttpInspectorSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/http_inspector/v3/http_inspector_pb.js';
import { OriginalDstSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/original_dst/v3/original_dst_pb.js';
import { ProxyProtocolSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol_pb.js';
import { TlsInspectorSchema } from '@lateen/xds-proto/envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector_pb.js';
import {
  HttpConnectionManager_ForwardClientCertDetails as ForwardClientCert,
  HttpConnectionManagerSchema,
} from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { RawBufferSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer_pb.js';
import type { DownstreamTlsContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { DownstreamTlsContextSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { compileTcpProxy, endsInTcpProxy } from '../tcp/compile-tcp-proxy.js';
import { systemCalls } from '../transport/system/system-calls.js';
import { durationMs } from '../upstream/upstream-cluster.js';
import { type ConnectionManagerContext, compileConnectionManager } from './compile-connection-manager.js';
import { filterChainMatchKey, matchesByAddress, unsupportedMatchFields } from './filter-chain-match.js';
import { type DisabledFor, disabledFor } from './listener-filters/filter-disabled.js';
import type { InterceptionRules } from './listener-filters/interception.js';
import type { ProxyHeaderRules } from './listener-filters/proxy-header-reader.js';
import type { FilterChainRuntime, ListenerSettings } from './listener-runtime.js';
import type { ClientCertDetails, DownstreamTls } from './tls-acceptor.js';

/** Envoy's default of `per_connection_buffer_limit_bytes`. */
const DEFAULT_RETRY_BUFFER_BYTES = 1 << 20;
const NO_DETAILS: ClientCertDetails = { cert: false, chain: false, subject: false, uri: false, dns: false };
/** From DESIGN.md; Envoy's own default is 15 s. */
const INSPECT_TIMEOUT_MS = 10_000;

export interface ListenerContext
  extends Omit<
    ConnectionManagerContext,
    'listenerName' | 'inbound' | 'secure' | 'chainName' | 'lastingName' | 'retryBufferBytes'
  > {
  compileTls(
    context: DownstreamTlsContext,
    details: ClientCertDetails,
    problem: (path: string, message: string) => void,
  ): DownstreamTls;
  /** The chain of an earlier configuration with this key. */
  known(
    key: string,
  ): { readonly runtime: FilterChainRuntime; readonly inlineRoutes: RouteConfiguration | undefined } | undefined;
}

/** What stays of a chain's name, and of those of its inline routes, when the chain changes: state is kept under it. */
export function lastingName(name: string): string {
  return name.startsWith('inline|') ? name.replace(/^inline\|[^|]*/, 'inline') : name;
}

export interface CompiledListener {
  readonly config: Listener;
  readonly settings: ListenerSettings;
  /** By chain key, for the next configuration. */
  readonly chains: ReadonlyMap<
    string,
    { readonly runtime: FilterChainRuntime; readonly inlineRoutes: RouteConfiguration | undefined }
  >;
  readonly inlineRoutes: readonly RouteConfiguration[];
  /** Where in the listener each of them stands, by its name. */
  readonly routePaths: ReadonlyMap<string, string>;
  /** Not: it takes connections that another listener hands over, since they were opened to its address. */
  readonly isBound: boolean;
  readonly addresses: readonly ListenerAddress[];
}

export interface ListenerAddress {
  readonly address: string;
  readonly port: number;
  readonly path: string;
  /** `::` stands for every address of IPv4 as well. */
  readonly ipv4Compat: boolean;
}

/** Problems go to the context; the result is only to be used where there were none. */
export function compileListener(config: Listener, context: ListenerContext): CompiledListener {
  const compiler = new ListenerCompiler(config, context);
  return compiler.compile();
}

class ListenerCompiler {
  private readonly chains = new Map<
    string,
    { runtime: FilterChainRuntime; inlineRoutes: RouteConfiguration | undefined }
  >();

  private readonly routePaths = new Map<string, string>();

  constructor(
    private readonly config: Listener,
    private readonly context: ListenerContext,
  ) {}

  compile(): CompiledListener {
    const { config, context } = this;
    const chains: FilterChainRuntime[] = [];
    const matches = new Map<string, number>();
    config.filterChains.forEach((chain, index) => {
      const path = `filter_chains[${index}]`;
      const match = filterChainMatchKey(chain.filterChainMatch);
      const twin = matches.get(match);
      if (twin !== undefined)
        context.problem(`${path}.filter_chain_match`, `is the same as that of filter_chains[${twin}]`);
      matches.set(match, index);
      const runtime = this.compileChain(chain, path, index);
      if (runtime !== undefined) chains.push(runtime);
    });
    const defaultChain =
      config.defaultFilterChain === undefined
        ? undefined
        : this.compileChain(config.defaultFilterChain, 'default_filter_chain', -1);
    if (config.filterChains.length === 0 && defaultChain === undefined) context.problem('filter_chains', 'is empty');
    const settings: ListenerSettings = {
      name: config.name,
      proxyHeader: this.proxyHeader(),
      interception: this.interception(),
      inspect: this.inspects(),
      detectHttp: this.asksFor(HttpInspectorSchema),
      leavesTls: this.leftAloneBy(TlsInspectorSchema),
      leavesHttp: this.leftAloneBy(HttpInspectorSchema),
      inspectTimeoutMs:
        config.listenerFiltersTimeout === undefined ? INSPECT_TIMEOUT_MS : durationMs(config.listenerFiltersTimeout),
      continueOnTimeout: config.continueOnListenerFiltersTimeout,
      chains,
      byAddress: matchesByAddress(chains),
      defaultChain,
    };
    const inlineRoutes = [...this.chains.values()]
      .map((chain) => chain.inlineRoutes)
      .filter((routes) => routes !== undefined);
    const { routePaths } = this;
    const isBound = config.bindToPort ?? true;
    return { config, settings, chains: this.chains, inlineRoutes, routePaths, isBound, addresses: this.addresses() };
  }

  private compileChain(chain: FilterChain, path: string, index: number): FilterChainRuntime | undefined {
    const { config, context } = this;
    const key = `${config.name}|${config.trafficDirection}|${config.perConnectionBufferLimitBytes ?? ''}|${Buffer.from(toBinary(FilterChainSchema, chain)).toString('latin1')}`;
    const known = context.known(key);
    if (known !== undefined) {
      this.noteRoutes(known.inlineRoutes, path);
      this.chains.set(key, known);
      return known.runtime;
    }
    const problem = (field: string, message: string): void =>
      context.problem(field === '' ? path : `${path}.${field}`, message);
    if (chain.filterChainMatch !== undefined) {
      for (const field of unsupportedMatchFields(chain.filterChainMatch))
        problem(`filter_chain_match.${field}`, 'is not supported');
      chain.filterChainMatch.prefixRanges.forEach(({ addressPrefix, prefixLen = 0 }, at) => {
        const family = isIP(addressPrefix);
        if (family !== 0 && prefixLen <= (family === 4 ? 32 : 128)) return;
        problem(`filter_chain_match.prefix_ranges[${at}]`, 'is not an address with the length of its prefix');
      });
    }
    const chainName = `inline|${hash(key)}|${config.name}|${chain.name === '' ? index : chain.name}`;
    if (endsInTcpProxy(chain.filters)) return this.compileTcp(chain, key, problem);
    const [filter] = chain.filters;
    if (chain.filters.length !== 1 || filter?.configType.case !== 'typedConfig') {
      problem('filters', 'must be the HTTP connection manager alone, or end in the TCP proxy');
      return undefined;
    }
    const any = filter.configType.value;
    if (!anyIs(any, HttpConnectionManagerSchema)) {
      problem('filters[0]', `network filter ${filter.name} (${any.typeUrl}) is not supported`);
      return undefined;
    }
    const hcm = unpackAny(any, HttpConnectionManagerSchema);
    const current = hcm.setCurrentClientCertDetails;
    const { cert = false, chain: isChainTold = false, subject = false, uri = false, dns = false } = current ?? {};
    // What is told of clients only where the element is written at all.
    const isTold =
      hcm.forwardClientCertDetails === ForwardClientCert.APPEND_FORWARD ||
      hcm.forwardClientCertDetails === ForwardClientCert.SANITIZE_SET;
    const details = { cert: isTold && cert, chain: isTold && isChainTold, subject, uri, dns };
    const tls = this.compileTransport(chain, details, problem);
    const compiled = compileConnectionManager(hcm, {
      ...context,
      listenerName: config.name,
      inbound: config.trafficDirection === TrafficDirection.INBOUND,
      secure: tls !== undefined,
      chainName,
      lastingName: lastingName(chainName),
      retryBufferBytes: config.perConnectionBufferLimitBytes ?? DEFAULT_RETRY_BUFFER_BYTES,
      problem: (field, message) => problem(`filters[0].${field}`, message),
    });
    const runtime: FilterChainRuntime = { key, match: chain.filterChainMatch, served: compiled.chain, tls };
    this.noteRoutes(compiled.inlineRoutes, path);
    this.chains.set(key, { runtime, inlineRoutes: compiled.inlineRoutes });
    return runtime;
  }

  private noteRoutes(routes: RouteConfiguration | undefined, path: string): void {
    if (routes !== undefined) this.routePaths.set(routes.name, `${path}.filters[0].typed_config.route_config`);
  }

  private compileTcp(
    chain: FilterChain,
    key: string,
    problem: (field: string, message: string) => void,
  ): FilterChainRuntime | undefined {
    const { config, context } = this;
    const tls = this.compileTransport(chain, NO_DETAILS, problem);
    const served = compileTcpProxy(chain.filters, {
      core: context.core,
      rbacCounts: context.rbacCounts,
      authorizerCounts: context.authorizerCounts,
      compiledRules: context.compiledRules,
      nowMs: context.nowMs,
      options: context.options,
      scopes: context.scopes,
      listenerName: config.name,
      inbound: config.trafficDirection === TrafficDirection.INBOUND,
      problem,
    });
    if (served === undefined) return undefined;
    const runtime: FilterChainRuntime = { key, match: chain.filterChainMatch, served, tls };
    this.chains.set(key, { runtime, inlineRoutes: undefined });
    return runtime;
  }

  private compileTransport(
    chain: FilterChain,
    details: ClientCertDetails,
    problem: (field: string, message: string) => void,
  ): DownstreamTls | undefined {
    const socket = chain.transportSocket;
    if (socket === undefined) return undefined;
    if (socket.configType.case !== 'typedConfig') {
      problem('transport_socket', 'has no typed_config');
      return undefined;
    }
    const any = socket.configType.value;
    if (anyIs(any, RawBufferSchema)) return undefined;
    if (!anyIs(any, DownstreamTlsContextSchema)) {
      problem('transport_socket', `${socket.name} (${any.typeUrl}) is not supported`);
      return undefined;
    }
    return this.context.compileTls(unpackAny(any, DownstreamTlsContextSchema), details, (field, message) =>
      problem(`transport_socket.${field}`, message),
    );
  }

  /** The listener asks for it, or a chain can only be chosen with it. */
  private inspects(): boolean {
    const { config } = this;
    return (
      this.asksFor(TlsInspectorSchema) ||
      this.asksFor(HttpInspectorSchema) ||
      config.filterChains.some(({ filterChainMatch: match }) => {
        if (match === undefined) return false;
        return match.serverNames.length > 0 || match.transportProtocol !== '' || match.applicationProtocols.length > 0;
      })
    );
  }

  private asksFor(filter: DescMessage): boolean {
    return this.config.listenerFilters.some(({ configType }) => isOfType(configType, filter));
  }

  private leftAloneBy(filter: DescMessage): DisabledFor | undefined {
    const found = this.config.listenerFilters.find(({ configType }) => isOfType(configType, filter));
    return found && disabledFor(found);
  }

  /** Undefined where connections are not redirected to the listener. */
  private interception(): InterceptionRules | undefined {
    const { config } = this;
    const handsOver = config.useOriginalDst ?? false;
    const transparent = config.transparent ?? false;
    const restores = handsOver || this.asksFor(OriginalDstSchema);
    if (!restores && !transparent) return undefined;
    try {
      systemCalls();
    } catch (error) {
      const field = handsOver ? 'use_original_dst' : transparent ? 'transparent' : 'listener_filters';
      this.context.problem(field, `needs system calls: ${(error as Error).message}`);
    }
    return { restores, handsOver, transparent };
  }

  /** A header of the PROXY protocol stands before everything else, so its filter has to be the first. */
  private proxyHeader(): ProxyHeaderRules | undefined {
    const { listenerFilters } = this.config;
    const index = listenerFilters.findIndex(({ configType }) => isOfType(configType, ProxyProtocolSchema));
    if (index < 0) return undefined;
    if (index > 0) this.context.problem(`listener_filters[${index}]`, 'must come before the others');
    const { configType } = listenerFilters[index]!;
    if (configType.case !== 'typedConfig') return undefined;
    const filter = unpackAny(configType.value, ProxyProtocolSchema);
    const refused = filter.disallowedVersions.map((version) => (version === ProxyProtocolConfig_Version.V2 ? 2 : 1));
    return { optional: filter.allowRequestsWithoutProxyProtocol, refusedVersions: new Set(refused) };
  }

  private addresses(): ListenerAddress[] {
    const { config, context } = this;
    const all = [
      { address: config.address, path: 'address' },
      ...config.additionalAddresses.map(({ address }, index) => ({
        address,
        path: `additional_addresses[${index}].address`,
      })),
    ];
    const found: ListenerAddress[] = [];
    for (const { address, path } of all) {
      const socket = address?.address.case === 'socketAddress' ? address.address.value : undefined;
      if (socket?.portSpecifier.case !== 'portValue')
        context.problem(path, 'must be a socket_address with a port_value');
      else {
        const { ipv4Compat } = socket;
        found.push({ address: socket.address, port: socket.portSpecifier.value, path, ipv4Compat });
      }
    }
    return found;
  }
}

function isOfType(configType: ListenerFilter['configType'], schema: DescMessage): boolean {
  return configType.case === 'typedConfig' && anyIs(configType.value, schema);
}

function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (let index = 0; index < text.length; index++) {
    value = BigInt.asUintN(64, (value ^ BigInt(text.charCodeAt(index))) * 0x100000001b3n);
  }
  return value.toString(16);
}
