// Explain: the receiving half: what the sidecar of a destination does with the call.

import { decideMtlsMode, type ProxyResources, type ProxyView, type Workload } from '@lateen/translate';
import type { FilterChain } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import { hasNoSidecar } from './caller.js';
import { chooseChain } from './choose-chain.js';
import { managerOf, routesOf, tcpProxyOf } from './entry.js';
import type { ExplainContext } from './explain.js';
import type { Because, ExplainedEndpoint, ExplainedInbound } from './explanation.js';
import { because, type Place } from './places/places.js';
import { isLoopback, LOOPBACK, proxyOf } from './proxy-of.js';
import { type AuthorizationAnswer, authorizationText, readAuthorization } from './read/authorization.js';
import type { ClusterEndpoint } from './read/clusters.js';
import { readLimits } from './read/limits.js';
import { type RateLimitAnswer, readRateLimits } from './read/rate-limits.js';
import { type KnownTokens, readTokens, type TokenAnswer } from './read/tokens.js';

/** ALPN of a sidecar that calls by mutual TLS: with requests, and with other bytes. */
const SIDECAR_ALPN = ['istio-http/1.1', 'istio'];
const SIDECAR_ALPN_OF_BYTES = ['istio-peer-exchange', 'istio'];

function alpnOf({ tls, head }: ArrivingCall): readonly string[] {
  if (head === '') return tls === 'mutual' ? SIDECAR_ALPN_OF_BYTES : [];
  return tls === 'mutual' ? SIDECAR_ALPN : ['http/1.1'];
}

/** What the receiving side is explained with. */
export type ArrivalContext = Pick<ExplainContext, 'snapshot' | 'caller' | 'decision' | 'places' | 'tokens'>;

/** A call that arrives at a workload. */
export interface ArrivingCall {
  readonly target: Workload;
  readonly port: number;
  readonly tls: ExplainedEndpoint['tls'];
  /** That the caller asks for in its handshake; left out: none. */
  readonly serverName?: string;
  /** The head as the caller's proxy writes it; of connections whose bytes are passed on empty. */
  readonly head: string;
}

export interface ExplainedArrival {
  readonly inbound: ExplainedInbound;
  readonly because: readonly Because[];
  readonly notes: readonly string[];
}

/** Undefined where the destination has no sidecar, as a gateway has none. */
export function explainInbound(context: ArrivalContext, call: ArrivingCall): ExplainedArrival | undefined {
  const { snapshot } = context;
  const { target, port, tls } = call;
  if (target.gateway || hasNoSidecar(target)) return undefined;
  const { view, resources } = proxyOf(snapshot, target);
  const { mode, policy, byPort } = decideMtlsMode(snapshot, target, port);
  const where = { workload: target.workloadName, namespace: target.namespace, port, mtls: mode, caller: tls };
  const found: Because[] = [];
  if (policy !== undefined) {
    const path: Place['path'] = byPort ? ['spec', 'portLevelMtls', String(port), 'mode'] : ['spec', 'mtls', 'mode'];
    found.push(because({ object: policy, path }, 'inbound', `${target.workloadName}.${target.namespace}`));
  }
  const { rates, tokens, access, ...decided } = decideArrival(context, view, resources, call);
  return {
    inbound: { ...where, ...decided },
    because: [...found, ...(tokens?.because ?? []), ...(access?.because ?? []), ...(rates?.because ?? [])],
    notes: [
      ...(tokens?.notes ?? []).map((note) => `at ${target.workloadName}.${target.namespace} ${note}`),
      ...(access?.notes ?? []).map((note) => `at ${target.workloadName}.${target.namespace} ${note}`),
      ...(rates?.notes ?? []),
    ],
  };
}

/** Where calls go, and what goes there. */
export interface CallOfEndpoints {
  readonly endpoints: readonly ClusterEndpoint[];
  /** As `ArrivingCall.head`. */
  readonly head: string;
}

/** One pod of each Deployment stands for all of them: what they do depends on their labels. */
export function explainArrivals(
  context: ArrivalContext,
  destinations: readonly CallOfEndpoints[],
): { readonly inbound: ExplainedInbound[]; readonly because: Because[]; readonly notes: string[] } {
  const calls = new Map<string, ArrivingCall>();
  for (const { endpoints, head } of destinations) {
    for (const { target, port, tls, serverName } of endpoints) {
      if (target === undefined) continue;
      const key = `${target.namespace}/${target.workloadName}:${port}`;
      if (!calls.has(key)) calls.set(key, { target, port, tls, serverName, head });
    }
  }
  const arrivals = [...calls.values()].flatMap((call) => explainInbound(context, call) ?? []);
  return {
    inbound: arrivals.map(({ inbound }) => inbound),
    because: arrivals.flatMap(({ because }) => because),
    notes: arrivals.flatMap(({ notes }) => notes),
  };
}

type Decided = Omit<ExplainedInbound, 'workload' | 'namespace' | 'port' | 'mtls' | 'caller'> & {
  readonly rates?: RateLimitAnswer;
  readonly tokens?: TokenAnswer;
  readonly access?: AuthorizationAnswer;
};

const NO_TOKENS: KnownTokens = { nowMs: 0, checked: new Map() };

const REFUSED: Decided = {
  accepted: false,
  filterChain: null,
  authorization: null,
  action: 'noListener',
  cluster: null,
  timeoutMs: null,
  limits: [],
  asks: [],
};

/** Where its bytes go. */
function clusterOf(chain: FilterChain): string | null {
  const specifier = tcpProxyOf(chain)?.clusterSpecifier;
  return specifier?.case === 'cluster' ? specifier.value : null;
}

function decideArrival(
  { decision, places, snapshot, caller, tokens: known = NO_TOKENS }: ArrivalContext,
  view: ProxyView,
  resources: ProxyResources,
  call: ArrivingCall,
): Decided {
  const at = (wanted: string) => resources.listeners.find(({ name }) => name === wanted)?.message;
  const listener = at(`${view.address}_${call.port}`) ?? at('virtualInbound');
  const chain = chooseChain(listener?.filterChains ?? [], {
    transport: call.tls === 'none' ? 'raw_buffer' : 'tls',
    serverName: call.serverName ?? '',
    alpn: alpnOf(call),
    destinationPort: call.port,
  });
  if (chain === undefined) return REFUSED;
  const accepted = { ...REFUSED, accepted: true, filterChain: chain.name };
  const manager = managerOf(chain);
  const routes = manager && routesOf(manager, resources);
  const shown = `spiffe://${snapshot.trustDomain}/ns/${caller.namespace}/sa/${caller.serviceAccount}`;
  const identity = call.tls === 'mutual' ? shown : undefined;
  const ruled = {
    view,
    connection: {
      remoteAddress: isLoopback(caller.address) ? LOOPBACK : caller.address,
      localAddress: view.address,
      localPort: call.port,
      identity,
      secure: call.tls !== 'none',
      serverName: call.serverName ?? '',
    },
    of: `${call.target.workloadName}.${call.target.namespace}`,
  };
  if (manager === undefined || routes === undefined) {
    const access = readAuthorization(decision, places, { ...ruled, chain });
    const { authorization } = access;
    if (authorization?.decision !== 'denied')
      return { ...accepted, action: 'tcp', cluster: clusterOf(chain), authorization, access };
    const note = `closes the connection: it is denied, ${authorizationText(authorization, places)}`;
    return { ...accepted, action: 'denied', authorization, access: { ...access, notes: [...access.notes, note] } };
  }
  const clusters = resources.clusters.map(({ message }) => ({ cluster: message }));
  decision.load({ routes, manager, secure: call.tls !== 'none' }, clusters);
  const outer = decision.claims;
  decision.claims = [];
  if (decision.parse(call.head) !== undefined) return { ...accepted, action: 'refused' };
  const tokens = readTokens(decision, places, known, { view, manager, head: call.head, secure: call.tls !== 'none' });
  if (tokens.refused !== undefined) {
    decision.claims = outer;
    return { ...accepted, action: 'refused', tokens };
  }
  decision.claims = tokens.claims;
  const { head } = tokens;
  const access = readAuthorization(decision, places, { ...ruled, manager, head });
  const { authorization } = access;
  if (authorization?.decision === 'denied') {
    decision.claims = outer;
    const note = `denies it with 403: ${authorizationText(authorization, places)}`;
    const denied = { ...access, notes: [...access.notes, note] };
    return { ...accepted, action: 'denied', authorization, tokens, access: denied };
  }
  decision.parse(head);
  const decided = decision.route(0);
  const virtualHost = decided.virtualHost === undefined ? undefined : routes.virtualHosts[decided.virtualHost];
  const route = decided.route === undefined ? undefined : virtualHost?.routes[decided.route];
  const rates = readRateLimits(decision, places, { view, manager, head, identity });
  decision.claims = outer;
  return {
    ...accepted,
    rates,
    tokens,
    access,
    authorization,
    action: decided.action === 'forward' ? 'forward' : decided.action === 'none' ? 'notFound' : decided.action,
    cluster: decided.cluster === '' ? null : decided.cluster,
    timeoutMs: decided.timeoutMs || null,
    limits: [...readLimits(manager, virtualHost, route), ...rates.limits],
    asks: rates.asks,
  };
}
