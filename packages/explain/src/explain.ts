// Explain: one request through the configuration of its caller's proxy, decided by the proxy's own core, with reasons.

import type { ConfigObject, FieldPath, Position } from '@lateen/istio-config';
import type { MeshSnapshot, ProxyResources, ProxyView, Workload } from '@lateen/translate';
import type { VirtualHost } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import type { RuledConnection } from './decide/access-rules.js';
import { type Decision, withDecision } from './decide/decision.js';
import { findEntry, type HttpEntry } from './entry.js';
import { explainForward } from './explain-forward.js';
import { explainTcp } from './explain-tcp.js';
import { type Because, type Explanation, NO_CHANGES, type NotMatched } from './explanation.js';
import { routeBecause } from './places/host-because.js';
import { Places } from './places/places.js';
import { isLoopback, LOOPBACK, proxyOf } from './proxy-of.js';
import { authorizationText, readAuthorization } from './read/authorization.js';
import { type KnownTokens, readTokens } from './read/tokens.js';
import { type ExplainedRequest, requestHead } from './request.js';
import { explainTrace } from './trace/trace.js';

/** What there is to explain with. */
export interface ExplainInput {
  readonly snapshot: MeshSnapshot;
  /** Documents that are in the snapshot in another form: Services, Deployments. They are named as reasons. */
  readonly documents: readonly ConfigObject[];
  /** The mesh file, where there is one. */
  readonly meshFile?: { readonly name: string; locate(path: FieldPath): Position } | undefined;
  readonly caller: Workload;
  readonly request: ExplainedRequest;
  /** Left out: nothing is known of signatures, and there is no time. */
  readonly tokens?: KnownTokens | undefined;
}

/** Everything that the steps share. */
export interface ExplainContext extends ExplainInput {
  readonly view: ProxyView;
  readonly resources: ProxyResources;
  readonly places: Places;
  readonly decision: Decision;
}

/**
 * Says what becomes of the request and why. Pure: the same input gives the same answer.
 *
 * @throws RefusedConfigurationError where the caller's proxy would refuse what Pilot makes of the configuration
 */
export function explain(input: ExplainInput): Explanation {
  return withDecision((decision) => explainWith(decision, input));
}

function explainWith(decision: Decision, input: ExplainInput): Explanation {
  const { snapshot, caller, request, documents } = input;
  const { view, resources } = proxyOf(snapshot, caller);
  const places = new Places(snapshot, documents);
  const context: ExplainContext = { ...input, view, resources, places, decision };
  const entry = findEntry(view, resources, request);
  const { name, namespace, workloadName, gateway } = caller;
  const from = { workload: workloadName, namespace, pod: name, gateway };
  if (entry.kind === 'none') return { from, ...NOTHING, outcome: `nothing takes the call: ${entry.reason}` };
  const answer = entry.kind === 'http' ? explainHttp(context, entry) : explainTcp(context, entry);
  const because = uniqueReasons(answer.because ?? []);
  const notes = [...(answer.notes ?? []), ...warningsAbout(resources, because, answer.notMatched ?? [])];
  return { from, ...NOTHING, listener: entry.listener, ...answer, because, notes };
}

function uniqueReasons(because: readonly Because[]): Because[] {
  return [...new Map(because.map((each) => [JSON.stringify(each), each])).values()];
}

/** What translation warns of in the documents that have to do with the request. */
function warningsAbout(
  { problems }: ProxyResources,
  because: readonly Because[],
  notMatched: readonly NotMatched[],
): string[] {
  const about = new Set(
    [...because, ...notMatched.flatMap((each) => each.because ?? [])].map(
      ({ kind, namespace, name }) => `${kind}/${namespace}/${name}`,
    ),
  );
  return problems.filter(({ subject }) => about.has(subject)).map(({ subject, message }) => `${subject}: ${message}`);
}

const NOTHING: Omit<Explanation, 'from' | 'outcome'> = {
  listener: null,
  virtualHost: null,
  route: null,
  clusters: [],
  action: 'noListener',
  status: null,
  responseFlag: '',
  location: null,
  body: null,
  requestHeaders: NO_CHANGES,
  responseHeaders: NO_CHANGES,
  path: null,
  host: null,
  timeoutMs: null,
  retries: null,
  fault: null,
  mirror: [],
  cors: null,
  limits: [],
  asks: [],
  hashBy: [],
  notMatched: [],
  notReached: [],
  authorization: null,
  inbound: [],
  because: [],
  notes: [],
};

const NO_TOKENS: KnownTokens = { nowMs: 0, checked: new Map() };

type Answer = Partial<Explanation> & Pick<Explanation, 'outcome'>;

function explainHttp(context: ExplainContext, entry: HttpEntry): Answer {
  const { decision, resources, request } = context;
  const { routes, manager, absolute } = entry;
  const secure = context.view.type === 'router' && request.scheme === 'https';
  const clusters = resources.clusters.map(({ name, message }) => ({
    cluster: message,
    endpoints: resources.endpoints.find((each) => each.name === name)?.message,
  }));
  const load = (probes: Parameters<Decision['load']>[2]) =>
    decision.load({ routes, manager, secure }, clusters, probes);
  load([]);
  const asked = requestHead(request, absolute);
  decision.claims = [];
  const refused = decision.parse(asked);
  if (refused !== undefined) {
    return {
      action: 'refused',
      status: refused,
      responseFlag: 'DPE',
      outcome: `the proxy answers ${refused}: this is no request that it takes`,
      notes: entry.notes,
    };
  }
  const tokens = readTokens(decision, context.places, context.tokens ?? NO_TOKENS, {
    view: context.view,
    manager,
    head: asked,
    secure,
  });
  if (tokens.refused !== undefined) {
    const { status, body } = tokens.refused;
    const { because, notes } = tokens;
    return { action: 'refused', status, outcome: `the proxy answers ${status}: ${body}`, because, notes };
  }
  const { head } = tokens;
  decision.claims = tokens.claims;
  const access = readAuthorization(decision, context.places, {
    view: context.view,
    manager,
    head,
    connection: clientConnection(context),
    of: '',
  });
  if (access.authorization?.decision === 'denied') {
    const { authorization } = access;
    const why = authorizationText(authorization, context.places);
    return {
      action: 'refused',
      status: 403,
      authorization,
      outcome: `the proxy answers 403: it is denied, ${why}`,
      because: [...tokens.because, ...access.because],
      notes: [...entry.notes, ...tokens.notes, ...access.notes],
    };
  }
  decision.parse(head);
  const decided = decision.route(0);
  const virtualHost = decided.virtualHost === undefined ? undefined : routes.virtualHosts[decided.virtualHost];
  const route = decided.route === undefined ? undefined : virtualHost?.routes[decided.route];
  const normalized = decision.path;
  const trace = explainTrace(context, entry, { virtualHost, routeIndex: decided.route, load, head });
  const remarks = normalized === request.path ? [] : [`the path is taken as ${normalized}`];
  const answer: Answer = {
    virtualHost: virtualHost?.name ?? null,
    route: trace.route,
    notMatched: trace.notMatched,
    notReached: trace.notReached,
    outcome: '',
    authorization: access.authorization,
    notes: [...entry.notes, ...tokens.notes, ...access.notes, ...remarks, ...unknownHostNotes(context, virtualHost)],
    because: [...tokens.because, ...access.because, ...routeBecause(context, entry, virtualHost, route)],
  };
  if (virtualHost === undefined || decided.action === 'none') {
    const why = virtualHost === undefined ? 'no virtual host has this host' : `no route of ${virtualHost.name} matches`;
    return { ...answer, action: 'notFound', status: 404, responseFlag: 'NR', outcome: `the proxy answers 404: ${why}` };
  }
  load([]);
  decision.parse(head);
  decision.route(0);
  return { ...answer, ...explainForward(context, entry, { virtualHost, route, decided, answer, head }) };
}

/** The client of a gateway, whoever it is: in local mode of this machine, else by an address of documents (RFC 5737). */
function clientConnection({ caller, request }: ExplainContext): RuledConnection {
  return {
    remoteAddress: isLoopback(caller.address) ? LOOPBACK : '192.0.2.1',
    localAddress: caller.address,
    localPort: request.connectPort,
    identity: undefined,
    secure: request.scheme === 'https',
    serverName: request.scheme === 'https' ? request.connectHost : '',
  };
}

/** A catch-all that answers by itself under ALLOW_ANY surprises: the mesh was told to let the call through. */
function unknownHostNotes({ view }: ExplainContext, virtualHost: VirtualHost | undefined): string[] {
  if (virtualHost?.name !== 'block_all' || view.scope.outboundMode !== 'ALLOW_ANY') return [];
  const { sidecar } = view.scope;
  if (sidecar?.egressProxy !== undefined) {
    return [`ALLOW_ANY cannot pass this on: the egressProxy of Sidecar ${sidecar.name} is no service of the mesh`];
  }
  return ['ALLOW_ANY cannot pass this on: at the address of a service nobody knows where a call was going'];
}
