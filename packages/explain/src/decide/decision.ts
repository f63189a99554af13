// Decide: the data plane's own core on the resources that a proxy would be sent: the same table compiler, the same
// WebAssembly, and no sockets.

import {
  ASK_ANY,
  type ClusterInput,
  CORS_PREFLIGHT,
  CORS_REFUSED,
  CORS_SHARED,
  type Core,
  compileHttpConnectionManager,
  createCore,
  createTables,
  DESCRIPTOR_ENTRIES,
  DESCRIPTOR_ENTRY_COUNT,
  DESCRIPTOR_LIMIT,
  DESCRIPTORS,
  ENTRY_BYTES,
  internListenerOptions,
  LISTENER_QUOTAS,
  type ListenerOptions,
  OUTPUT_RING,
  POLICY_TIMEOUT_MS,
  putClaims,
  QUOTA_EXCEEDED,
  QUOTA_EXCEEDED_COUNT,
  READ_BUFFER,
  REQ_PATH_LENGTH,
  REQ_PATH_OFFSET,
  ROUTE_ACTION,
  ROUTE_ACTION_DIRECT,
  ROUTE_ACTION_FORWARD,
  ROUTE_ACTION_REDIRECT,
  ROUTE_BODY_LENGTH,
  ROUTE_BODY_OFFSET,
  ROUTE_CLUSTER,
  ROUTE_LOCATION_LENGTH,
  ROUTE_LOCATION_OFFSET,
  ROUTE_NAME_LENGTH,
  ROUTE_NAME_OFFSET,
  ROUTE_POLICY,
  ROUTE_STATUS,
  ROUTE_TABLE,
  type Tables,
} from '@lateen/filters-wasm';
import { anyIs } from '@lateen/xds-proto';
import type { RBAC } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { CorsSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/cors/v3/cors_pb.js';
import type { RateLimitQuotaFilterConfig } from '@lateen/xds-proto/envoy/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota_pb.js';
import type { HttpConnectionManager } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { SignatureUnknownError } from '../read/tokens.js';
import { createRuledConnection, matchingPolicy, type RuledConnection } from './access-rules.js';
import { hostProbe, hostProbeName, numberedRoutes, placeOfNumber } from './probes.js';
import { quotaProbes } from './quota-probes.js';
import { RefusedConfigurationError } from './refused-configuration.js';

/** What route() said. */
export interface Decided {
  readonly action: 'forward' | 'redirect' | 'direct' | 'none';
  /** Places in the route configuration; undefined where there is none. */
  readonly virtualHost: number | undefined;
  readonly route: number | undefined;
  /** Of `forward`. */
  readonly cluster: string;
  /** Of the others. */
  readonly status: number;
  readonly location: string;
  readonly body: string;
  /** 0: no limit. */
  readonly timeoutMs: number;
}

/** What the CORS filter makes of a request, and the headers by which it says so. */
export interface DecidedSharing {
  /** `preflight` and `refused` are answered by the proxy, with 200. */
  readonly answer: 'shared' | 'preflight' | 'refused';
  readonly headers: Readonly<Record<string, string>>;
}

/** What a request is decided with. */
export interface DecisionContext {
  readonly routes: RouteConfiguration;
  readonly manager: HttpConnectionManager;
  /** The client's connection is TLS. */
  readonly secure: boolean;
}

const NOW_MS = 1;
const MAX_HEAD_BYTES = 65_536;
const SHARING: Readonly<Record<number, DecidedSharing['answer']>> = {
  [CORS_SHARED]: 'shared',
  [CORS_PREFLIGHT]: 'preflight',
  [CORS_REFUSED]: 'refused',
};
const ACTIONS: Readonly<Record<number, Decided['action']>> = {
  [ROUTE_ACTION_FORWARD]: 'forward',
  [ROUTE_ACTION_REDIRECT]: 'redirect',
  [ROUTE_ACTION_DIRECT]: 'direct',
};

/** One core, for one request after another. */
export class Decision {
  readonly #core: Core;
  readonly #tables: Tables;
  /** Kept, because the compiler does not look again at what is the same object. */
  readonly #asked = new WeakMap<RouteConfiguration, readonly RouteConfiguration[]>();
  #context: DecisionContext | undefined;
  #options: ListenerOptions | undefined;
  #listener = 0;
  #claims: readonly Buffer[] = [];

  constructor() {
    // Random numbers (request ids) that are the same every time.
    this.#core = createCore({ seed: [7, 11] });
    this.#tables = createTables(this.#core);
  }

  /**
   * Puts configuration in force, probes included, and chooses the listener's part of it.
   *
   * @throws RefusedConfigurationError in the words of a NACK
   */
  load(context: DecisionContext, clusters: readonly ClusterInput[], probes: readonly RouteConfiguration[] = []): void {
    const { routes, manager } = context;
    const asked = this.#asked.get(routes) ?? [numberedRoutes(routes), hostProbe(routes)];
    this.#asked.set(routes, asked);
    this.#compile([...asked, ...probes], clusters);
    const { options, problems } = compileHttpConnectionManager(manager, 'the listener');
    if (problems.length > 0) throw new RefusedConfigurationError(problems);
    // As in the sidecar: upgrades are recognized, to be forwarded or refused with an answer.
    const corsFilterId = this.#corsFilterId(manager);
    this.#options = { ...options, allowWebsocket: true, corsFilterId };
    this.#listener = internListenerOptions(this.#core, this.#options, NOW_MS);
    this.#context = context;
  }

  #corsFilterId({ httpFilters }: HttpConnectionManager): number | undefined {
    const filter = httpFilters.find(
      ({ configType, disabled }) =>
        !disabled && configType.case === 'typedConfig' && anyIs(configType.value, CorsSchema),
    );
    return filter && this.#tables.limitSlots.filterId(filter.name, 'cors');
  }

  #compile(routeConfigurations: readonly RouteConfiguration[], clusters: readonly ClusterInput[]): void {
    const compiled = this.#tables.compile({ routeConfigurations, clusters, nowMs: NOW_MS });
    if (!compiled.ok) throw new RefusedConfigurationError(compiled.problems);
    this.#tables.activate();
  }

  /** What the request's tokens claim, until it is set again. */
  get claims(): readonly Buffer[] {
    return this.#claims;
  }

  set claims(claims: readonly Buffer[]) {
    this.#claims = claims;
    putClaims(this.#core, claims);
  }

  /** Parses a head; undefined where it is taken, else the status of the refusal. */
  parse(head: string): number | undefined {
    const length = this.#core.bytes.write(head, READ_BUFFER, 'latin1');
    const result = this.#core.wasm.parseRequest(READ_BUFFER, length, 0, this.#listener, 0);
    if (result > 0) return undefined;
    // 0 asks for more bytes than a head can have.
    return result === 0 ? 431 : -result;
  }

  /** Which policy of access rules a request by this connection matches first. What was parsed before is forgotten. */
  policyFor(rules: RBAC, head: string, connection: RuledConnection): string | undefined {
    const core = this.#core;
    const record = createRuledConnection(core, connection);
    try {
      const length = core.bytes.write(head, READ_BUFFER, 'latin1');
      core.wasm.parseRequest(READ_BUFFER, length, 0, this.#listener, record);
      const { secure } = connection;
      return matchingPolicy(core, rules, { kind: 'http', listener: this.#listener, record, secure });
    } finally {
      core.connections.release(record);
    }
  }

  /** Which policy of access rules a connection matches first, of which nothing is known but what it is. */
  policyForConnection(rules: RBAC, connection: RuledConnection): string | undefined {
    const record = createRuledConnection(this.#core, connection);
    try {
      return matchingPolicy(this.#core, rules, { kind: 'network', listener: 0, record, secure: connection.secure });
    } finally {
      this.#core.connections.release(record);
    }
  }

  /** Path with query of the parsed request: normalized, as it is matched. */
  get path(): string {
    return this.#text(REQ_PATH_OFFSET, REQ_PATH_LENGTH);
  }

  /** Values of a header of the parsed request, as the matchers see them. */
  header(name: string): string | undefined {
    return this.#core.requestHeader(name.toLowerCase());
  }

  /** Decides for the parsed request. @param random chooses among weighted clusters */
  route(random: number): Decided {
    const context = this.#loaded();
    const number = this.#run(context.routes.name, random);
    const at = (field: number) => this.#core.i32[field >> 2]!;
    const policy = at(ROUTE_POLICY);
    const decided = {
      action: ACTIONS[number] ?? 'none',
      cluster: number === ROUTE_ACTION_FORWARD ? (this.#tables.clusterName(at(ROUTE_CLUSTER)) ?? '') : '',
      status: number === ROUTE_ACTION_DIRECT || number === ROUTE_ACTION_REDIRECT ? at(ROUTE_STATUS) : 0,
      location: number === ROUTE_ACTION_REDIRECT ? this.#text(ROUTE_LOCATION_OFFSET, ROUTE_LOCATION_LENGTH) : '',
      body: number === ROUTE_ACTION_DIRECT ? this.#text(ROUTE_BODY_OFFSET, ROUTE_BODY_LENGTH, 'utf8') : '',
      timeoutMs: policy === 0 ? 0 : this.#core.i32[(policy + POLICY_TIMEOUT_MS) >> 2]!,
    };
    if (at(ROUTE_TABLE) !== 0) return { ...decided, ...placeOfNumber(this.#routeName()) };
    return { ...decided, virtualHost: this.#virtualHost(), route: undefined };
  }

  /** What the CORS policy of the last `route()` says of the request; undefined where there is none, or it says nothing. */
  sharing(): DecidedSharing | undefined {
    const { wasm, i32 } = this.#core;
    const answer = SHARING[wasm.decideCors(this.#listener)];
    if (answer === undefined) return undefined;
    const policy = i32[ROUTE_POLICY >> 2]!;
    const length = wasm.writeLocalReply(OUTPUT_RING, MAX_HEAD_BYTES, this.#listener, policy, 0, 200, 0, 0, 0, 0);
    const lines = this.#core.text(OUTPUT_RING, length).split('\r\n');
    const shared = lines.flatMap((line) => {
      const match = /^(access-control-[a-z-]+): (.*)$/i.exec(line);
      return match === null ? [] : [[match[1]!.toLowerCase(), match[2]!] as const];
    });
    return { answer, headers: Object.fromEntries(shared) };
  }

  /** Which of these filters match the parsed request, after `route()`. */
  quotasThatMatch(configs: readonly RateLimitQuotaFilterConfig[]): boolean[] {
    const { i32, wasm } = this.#core;
    if (this.#options === undefined) throw new Error('load() comes before a decision');
    const options = { ...this.#options, quotas: quotaProbes(this.#tables, configs) };
    const listener = internListenerOptions(this.#core, options, NOW_MS);
    wasm.chargeQuotas(listener, 0, this.#loaded().secure ? 1 : 0, NOW_MS);
    const noted = Array.from({ length: i32[QUOTA_EXCEEDED_COUNT >> 2]! }, (_, at) => i32[(QUOTA_EXCEEDED >> 2) + at]!);
    const list = (listener + i32[(listener + LISTENER_QUOTAS) >> 2]!) >> 2;
    return configs.map((_, index) => noted.includes(listener + i32[list + index]!));
  }

  /**
   * Which rate limits of the virtual host a service would be asked about, after `route()` where that says to forward: for
   * each of these filters the places of the limits in the list.
   */
  limitsAskedAbout(filters: readonly { readonly name: string; readonly stage: number }[]): number[][] {
    const { i32, wasm, connections } = this.#core;
    if (this.#options === undefined) throw new Error('load() comes before a decision');
    if (i32[ROUTE_ACTION >> 2] !== ROUTE_ACTION_FORWARD) return [];
    const { limitSlots } = this.#tables;
    const asks = filters.map(({ name, stage }) => {
      const filterId = limitSlots.filterId(name, 'limit service');
      return { filterId, stage, requestType: ASK_ANY, reply: new Uint8Array() };
    });
    const actionsId = limitSlots.filterId('', 'rate limit actions');
    const listener = internListenerOptions(this.#core, { ...this.#options, asks, actionsId }, NOW_MS);
    // Whose address it is nobody knows yet, but it has one.
    const client = { remoteAddress: '192.0.2.1', tls: false, mutualTls: false, xfcc: '' };
    const connection = connections.create(client);
    const found = filters.map((_, index) => {
      const count = wasm.describeLimits(listener, index, connection, this.#loaded().secure ? 1 : 0);
      const limits: number[] = [];
      for (let at = DESCRIPTORS; limits.length < count; ) {
        limits.push(i32[(at + DESCRIPTOR_LIMIT) >> 2]!);
        at += DESCRIPTOR_ENTRIES + i32[(at + DESCRIPTOR_ENTRY_COUNT) >> 2]! * ENTRY_BYTES;
      }
      return limits;
    });
    connections.release(connection);
    return found;
  }

  /** Whether the one route of a probe matches the parsed request. */
  matches(probe: string): boolean {
    return this.#run(probe, 0) === ROUTE_ACTION_DIRECT;
  }

  /** The head that goes to the cluster of the last `route()`. */
  upstreamHead(cluster: string): string {
    const { wasm } = this.#core;
    const slot = this.#tables.clusterSlot(cluster);
    const length = wasm.writeUpstreamHead(OUTPUT_RING, MAX_HEAD_BYTES, this.#listener, 0, slot);
    if (length <= 0) throw new Error(`the head for ${cluster} has no room in ${MAX_HEAD_BYTES} bytes`);
    return this.#core.text(OUTPUT_RING, length);
  }

  #virtualHost(): number | undefined {
    return this.matches(hostProbeName(this.#loaded().routes))
      ? placeOfNumber(this.#routeName()).virtualHost
      : undefined;
  }

  #run(routes: string, random: number): number {
    const secure = this.#loaded().secure ? 1 : 0;
    return this.#core.wasm.route(this.#tables.routeConfigSlot(routes), random, secure);
  }

  #routeName(): string {
    return this.#text(ROUTE_NAME_OFFSET, ROUTE_NAME_LENGTH);
  }

  #text(offset: number, length: number, encoding: 'latin1' | 'utf8' = 'latin1'): string {
    const { bytes, i32 } = this.#core;
    const start = i32[offset >> 2]!;
    return bytes.toString(encoding, start, start + i32[length >> 2]!);
  }

  #loaded(): DecisionContext {
    if (this.#context === undefined) throw new Error('load() comes before a decision');
    return this.#context;
  }
}

/** Making a core takes longer than most answers; after so many its names are given up with it. */
const USES = 50;
let idle: { readonly decision: Decision; readonly used: number } | undefined;

/** Runs something with a core of its own, which is one that was used before where there is one: nothing of that is seen. */
export function withDecision<T>(use: (decision: Decision) => T): T {
  const { decision, used } = idle ?? { decision: new Decision(), used: 0 };
  idle = undefined;
  const keep = () => {
    if (used + 1 < USES) idle = { decision, used: used + 1 };
  };
  try {
    const result = use(decision);
    keep();
    return result;
  } catch (error) {
    // It is asked again in a moment. After any other error nobody knows what is left in it.
    if (error instanceof SignatureUnknownError) keep();
    throw error;
  }
}
