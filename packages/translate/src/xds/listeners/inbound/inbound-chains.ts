// Build: the filter chains of a port at which a workload takes calls: by mutual TLS or not, HTTP or mere bytes, or whatever comes.

import { create } from '@bufbuild/protobuf';
import {
  type Filter,
  type FilterChain,
  FilterChainSchema,
} from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { ProxyView } from '../../../proxy-view.js';
import type { TerminatedTls } from '../../../resolve/gateway-tls.js';
import type { InboundPort } from '../../../resolve/inbound-ports.js';
import type { EffectiveMtlsMode } from '../../../resolve/peer-authentication.js';
import { stableHash } from '../../../stable-hash.js';
import { downstreamMutualTls, ISTIO_ALPN, ISTIO_HTTP_ALPN, ISTIO_TCP_ALPN } from '../../clusters/tls-context.js';
import { inboundClusterName } from '../../names.js';
import { buildInboundRoute } from '../../routes/inbound-route.js';
import { buildLimitActions } from '../../rules/limit-actions.js';
import { GATEWAY_HTTP_ALPN, serverTlsSocket } from '../../tls/server-tls-context.js';
import { connectionManagers } from '../http-connection-manager.js';
import { PLAIN_HTTP_ALPN } from '../protocol-detection.js';
import { buildTcpFilters } from '../tcp-proxy.js';

/** What the chains of a port lead to. */
interface PortFilters {
  readonly http: Filter[];
  readonly tcp: Filter[];
}

/**
 * The TLS chain takes members of the mesh only: they must have its certificate. Where other TLS may come they show
 * themselves by their ALPN, which only proxies offer.
 */
function mutualTlsChain(view: ProxyView, name: string, alpn: readonly string[], filters: Filter[]): FilterChain {
  return create(FilterChainSchema, {
    name,
    filterChainMatch: { transportProtocol: 'tls', applicationProtocols: [...alpn] },
    filters,
    transportSocket: downstreamMutualTls(view.snapshot),
  });
}

function plainChain(name: string, filters: Filter[], applicationProtocols: readonly string[] = []): FilterChain {
  const filterChainMatch = { transportProtocol: 'raw_buffer', applicationProtocols: [...applicationProtocols] };
  return create(FilterChainSchema, { name, filterChainMatch, filters });
}

/** TLS that is not the mesh's is the application's own, and passes through. */
function foreignTlsChain(filters: Filter[]): FilterChain {
  return create(FilterChainSchema, {
    name: 'tls-passthrough',
    filterChainMatch: { transportProtocol: 'tls' },
    filters,
  });
}

function httpChains(view: ProxyView, mtlsMode: EffectiveMtlsMode, { http }: PortFilters): FilterChain[] {
  return [
    // As Istio: under STRICT also a client without a proxy (proxyless gRPC, which offers h2) is welcome with its certificate.
    ...(mtlsMode === 'DISABLE' ? [] : [mutualTlsChain(view, 'mtls', mtlsMode === 'STRICT' ? [] : ISTIO_ALPN, http)]),
    ...(mtlsMode === 'STRICT' ? [] : [plainChain('plaintext', http)]),
  ];
}

function tcpChains(view: ProxyView, mtlsMode: EffectiveMtlsMode, { tcp }: PortFilters): FilterChain[] {
  // Nothing to choose by: connections need not be looked at, so their server may speak first.
  if (mtlsMode === 'DISABLE') return [create(FilterChainSchema, { name: 'tcp', filters: tcp })];
  const mutual = mutualTlsChain(view, 'mtls', ISTIO_ALPN, tcp);
  return mtlsMode === 'STRICT' ? [mutual] : [mutual, foreignTlsChain(tcp), plainChain('plaintext', tcp)];
}

/** Callers by mutual TLS have looked already, and say by their ALPN what it is; the others are looked at here. */
function detectingChains(view: ProxyView, mtlsMode: EffectiveMtlsMode, { http, tcp }: PortFilters): FilterChain[] {
  // Under STRICT clients without a proxy are members of the mesh as well, by what they offer for HTTP.
  const httpAlpn = mtlsMode === 'STRICT' ? [...ISTIO_HTTP_ALPN, 'h2', 'http/1.1'] : ISTIO_HTTP_ALPN;
  const mutual = [mutualTlsChain(view, 'mtls-http', httpAlpn, http), mutualTlsChain(view, 'mtls', ISTIO_TCP_ALPN, tcp)];
  const open = [
    plainChain('plaintext-http', http, PLAIN_HTTP_ALPN),
    plainChain('plaintext', tcp),
    foreignTlsChain(tcp),
  ];
  return [...(mtlsMode === 'DISABLE' ? [] : mutual), ...(mtlsMode === 'STRICT' ? [] : open)];
}

/** TLS of the outside, ended here. */
function endingChain({ snapshot }: ProxyView, tls: TerminatedTls, { http, tcp }: PortFilters): FilterChain {
  return create(FilterChainSchema, {
    name: 'tls',
    filterChainMatch: { transportProtocol: 'tls' },
    filters: http.length > 0 ? http : tcp,
    transportSocket: serverTlsSocket(snapshot, tls, http.length > 0 ? GATEWAY_HTTP_ALPN : []),
  });
}

const CHAINS = { http: httpChains, tcp: tcpChains, any: detectingChains } as const;

/** What the first bytes of connections to a port are looked at for. */
export interface Inspection {
  /** Whether they are TLS, and of whom. */
  readonly tls: boolean;
  /** Whether they are HTTP. */
  readonly http: boolean;
  /** Clients that say nothing are not waited for beyond the limit: their server may speak first. */
  readonly waits: boolean;
}

export function inspectionOf({ kind, mtlsMode, tls }: InboundPort): Inspection {
  const takesTls = mtlsMode !== 'DISABLE' || tls !== undefined;
  return {
    tls: takesTls || kind === 'any',
    http: kind === 'any',
    // What speaks HTTP begins by itself; of anything else the server may.
    waits: kind === 'any' || (kind === 'tcp' && takesTls && tls === undefined),
  };
}

/** Everything that the chains of a port are made of, addresses aside. */
export function inboundKey(
  view: ProxyView,
  { kind, protocol, mtlsMode, services, servicePort, pool, tls }: InboundPort,
) {
  return [
    'inbound',
    kind,
    protocol === 'grpc-web',
    connectionManagers(view).key,
    mtlsMode,
    services[0]?.hostname ?? '',
    servicePort,
    stableHash(pool?.tcp ?? {}),
    stableHash(tls ?? {}),
  ].join('/');
}

function portFilters(view: ProxyView, inbound: InboundPort, name: string): PortFilters {
  const { port, kind, pool, tls } = inbound;
  const cluster = inboundClusterName(port);
  // Who calls from outside of the mesh is not believed what it says of others.
  const callers = tls === undefined ? 'sidecar-inbound' : 'sidecar-inbound-outside';
  const to = {
    statPrefix: cluster,
    clusters: [{ name: cluster, weight: 1 }],
    idleTimeout: pool?.tcp?.idleTimeout,
    maxDuration: pool?.tcp?.maxConnectionDuration,
    hashesSource: false,
  };
  const routes = () => ({ inline: buildInboundRoute(inbound, buildLimitActions(view.scope)) });
  const grpcWeb = inbound.protocol === 'grpc-web';
  return {
    http: kind === 'tcp' ? [] : [connectionManagers(view).build(callers, name, routes(), { grpcWeb })],
    tcp: kind === 'http' ? [] : buildTcpFilters(view, 'sidecar-inbound', to),
  };
}

/**
 * The chains of a port.
 *
 * @param name of the listener, or what stands for one, in statistics
 */
export function inboundChains(view: ProxyView, inbound: InboundPort, name: string): readonly FilterChain[] {
  const { kind, mtlsMode, tls } = inbound;
  const filters = portFilters(view, inbound, name);
  return tls === undefined ? CHAINS[kind](view, mtlsMode, filters) : [endingChain(view, tls, filters)];
}
