// Downstream: keeps bound addresses and listeners in step with the configuration; what is unchanged is not touched.

import { isIPv6 } from 'node:net';
import { TYPE_URL } from '@lateen/xds-proto';
import { TrafficDirection } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { RouteConfiguration } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { type ConfigProblem, ConfigRejected, type ListenerView } from '../data-plane.js';
import { rulesOf } from '../rbac/compile-rbac.js';
import type { TcpProxyParts } from '../tcp/tcp-session.js';
import type { DataPath } from '../transport/data-path.js';
import { canonicalAddress, type Destination } from '../transport/system/original-destination.js';
import { Timer } from '../transport/timer-wheel.js';
import type { CompiledListener } from './compile-listener.js';
import { type ListenerLookup, makeTransparent } from './listener-filters/interception.js';
import { ListenerRuntime } from './listener-runtime.js';
import type { ServedConnection } from './served-connection.js';
import {
  type ClientHandle,
  type GiveAway,
  type OpenSocket,
  type SharedSocket,
  SocketListener,
} from './socket-listener.js';

/** How long HTTP connections of a chain that is gone may stay: responses say `close` at once, the idle go at half time. */
const DRAIN_MS = 10_000;
/** Byte streams cannot be told to leave; Istio's proxies give them as long. */
const TCP_DRAIN_MS = 45_000;
const DEFAULT_BACKLOG = 4096;

const bindSocket: OpenSocket = (_key, at, backlog, sharedRead) => SocketListener.bind(at, backlog, sharedRead);

interface ActiveListener {
  readonly runtime: ListenerRuntime;
  readonly compiled: CompiledListener;
  readonly sockets: readonly SocketListener[];
}

/** New sockets for a configuration that is not in use yet. */
export interface BoundSockets {
  readonly shared: readonly SharedSocket[];
  readonly byListener: ReadonlyMap<string, readonly SocketListener[]>;
  readonly fresh: readonly SocketListener[];
}

export class ListenerSet implements ListenerLookup {
  private active = new Map<string, ActiveListener>();
  /** By `ADDRESS PORT`, whether it is bound there or not. */
  private byDestination: ReadonlyMap<string, ListenerRuntime> = new Map();
  /** By `address:port` as configured; port 0 adds listener and index. */
  private sockets = new Map<string, SocketListener>();
  private readonly leaving = new Set<ListenerRuntime>();
  /** Inline routes of chains that drain: their connections may still send a request. */
  private readonly leavingRoutes = new Map<RouteConfiguration, number>();

  constructor(
    private readonly path: DataPath,
    private readonly tcp: TcpProxyParts,
    private readonly openSocket: OpenSocket = bindSocket,
    private readonly giveAway: GiveAway | undefined = undefined,
  ) {}

  /** Binds what is new. @throws ConfigRejected with each address that cannot be bound; nothing is changed then */
  async bind(listeners: readonly CompiledListener[]): Promise<BoundSockets> {
    // A configuration that comes while all drain must not open again what was closed.
    if (this.path.draining) return { byListener: new Map(), fresh: [], shared: [] };
    const problems: ConfigProblem[] = [];
    const fresh: SocketListener[] = [];
    const shared: SharedSocket[] = [];
    const byListener = new Map<string, SocketListener[]>();
    const claimed = new Map<string, string>();
    const claimedUnbound = new Map<string, string>();
    for (const { config, addresses, isBound, settings } of listeners) {
      const sockets: SocketListener[] = [];
      for (const [index, { address, port, path, ipv4Compat }] of addresses.entries()) {
        const key = socketKey(config.name, index, address, port);
        // What is bound and what is not may have one address: connections to it are for the first of them.
        const owners = isBound ? claimed : claimedUnbound;
        const problem = (message: string, mayPass = false): void => {
          problems.push({ resourceType: TYPE_URL.listener, resourceName: config.name, path, message, mayPass });
        };
        const owner = owners.get(key);
        if (owner !== undefined) {
          problem(`${address}:${port} is also the address of listener ${owner}`);
          continue;
        }
        owners.set(key, config.name);
        if (!isBound) continue;
        let socket = this.sockets.get(key);
        if (socket === undefined) {
          try {
            const backlog = config.tcpBacklogSize ?? DEFAULT_BACKLOG;
            socket = await this.openSocket(
              key,
              { address, port, ipv6Only: !ipv4Compat },
              backlog,
              this.path.sharedRead,
            );
            const { giveAway } = this;
            if (giveAway !== undefined) socket.giveAway = (connection) => giveAway(key, connection);
            fresh.push(socket);
          } catch (error) {
            problem(`cannot bind ${address}:${port}: ${(error as Error).message}`, true);
            continue;
          }
        }
        const refusal = settings.interception?.transparent ? makeTransparent(socket.descriptor, address) : undefined;
        if (refusal !== undefined) problem(refusal);
        sockets.push(socket);
        shared.push({ key, handle: socket.handle });
      }
      byListener.set(config.name, sockets);
    }
    if (problems.length > 0) {
      for (const socket of fresh) socket.close();
      throw new ConfigRejected(problems);
    }
    return { byListener, fresh, shared };
  }

  /** Inline routes that a configuration of these listeners leaves behind, and those that still drain. */
  retainedRoutes(listeners: readonly CompiledListener[]): RouteConfiguration[] {
    // By name, which holds the hash of the chain: one that comes back while it drains is compiled anew.
    const present = new Set(listeners.flatMap(({ inlineRoutes }) => inlineRoutes.map(({ name }) => name)));
    const now = performance.now();
    for (const [routes, untilMs] of this.leavingRoutes) {
      if (untilMs <= now || present.has(routes.name)) this.leavingRoutes.delete(routes);
    }
    const active = [...this.active.values()].flatMap(({ compiled }) => compiled.inlineRoutes);
    const left = new Map([...active, ...this.leavingRoutes.keys()].map((routes) => [routes.name, routes]));
    return [...left.values()].filter(({ name }) => !present.has(name));
  }

  /** Puts a compiled and bound configuration in use. */
  activate(listeners: readonly CompiledListener[], bound: BoundSockets): void {
    // Since it was bound all may have begun to drain.
    if (this.path.draining) for (const socket of bound.fresh) socket.close();
    const byListener = this.path.draining ? new Map<string, SocketListener[]>() : bound.byListener;
    const before = this.active;
    const untilMs = performance.now() + DRAIN_MS;
    for (const routes of this.retainedRoutes(listeners)) {
      if (!this.leavingRoutes.has(routes)) this.leavingRoutes.set(routes, untilMs);
    }
    const sockets = new Map<string, SocketListener>();
    this.active = new Map();
    for (const compiled of listeners) {
      const { name } = compiled.config;
      const old = before.get(name);
      const runtime = old?.runtime ?? new ListenerRuntime(this.path, this.tcp, compiled.settings, this);
      const own = byListener.get(name) ?? [];
      runtime.settings = compiled.settings;
      if (old !== undefined) this.drainGoneChains(runtime, old.compiled, compiled);
      own.forEach((socket, index) => {
        const { address, port } = compiled.addresses[index]!;
        sockets.set(socketKey(name, index, address, port), socket);
        socket.serve(runtime);
      });
      this.active.set(name, { runtime, compiled, sockets: own });
    }
    for (const [key, socket] of this.sockets) if (sockets.get(key) !== socket) socket.close();
    this.sockets = sockets;
    this.byDestination = destinationIndex([...this.active.values()]);
    for (const [name, { runtime, compiled }] of before) {
      if (this.active.has(name)) continue;
      for (const { runtime: chain } of compiled.chains.values()) chain.served.draining = true;
      this.leaving.add(runtime);
      this.drainLater(runtime, runtime.allConnections());
    }
  }

  /** The listener for connections to this address: its own, or else that of its port on any address. */
  listenerFor({ address, port }: Destination): ListenerRuntime | undefined {
    const { byDestination } = this;
    const any = isIPv6(address) ? '::' : '0.0.0.0';
    return byDestination.get(`${address} ${port}`) ?? byDestination.get(`${any} ${port}`);
  }

  /** Takes a connection that another process of the proxy has accepted. False where nobody listens there. */
  receive(key: string, connection: ClientHandle): boolean {
    const socket = this.sockets.get(key);
    socket?.receive(connection);
    return socket !== undefined;
  }

  /** The chain with this key, where it is in use. */
  knownChain(key: string): ReturnType<CompiledListener['chains']['get']> {
    for (const { compiled } of this.active.values()) {
      const chain = compiled.chains.get(key);
      if (chain !== undefined) return chain;
    }
    return undefined;
  }

  /** Options records in the core's memory that the present chains refer to. */
  listenerRecords(): Set<number> {
    const compiled = [...this.active.values()].flatMap((each) => [...each.compiled.chains.values()]);
    return new Set(
      compiled.flatMap(({ runtime: { served } }) => (served.kind === 'http' ? [served.listenerRecord] : [])),
    );
  }

  /** Where the access rules of the present chains are. */
  rulesInUse(): Set<number> {
    const compiled = [...this.active.values()].flatMap((each) => [...each.compiled.chains.values()]);
    return new Set(
      compiled.flatMap(({ runtime: { served } }) => {
        const checks = served.kind === 'tcp' ? served.checks : served.firstChecks;
        const first = checks.flatMap((check) => (check.kind === 'rules' ? [check.filter] : []));
        if (served.kind === 'tcp' || served.rbac === null) return rulesOf(first);
        return rulesOf([...first, ...served.rbac.beforeCors, ...served.rbac.afterCors]);
      }),
    );
  }

  views(): ListenerView[] {
    const active = [...this.active].map(([name, { runtime, compiled, sockets }]) => ({
      name,
      state: this.path.draining ? ('draining' as const) : ('active' as const),
      addresses: compiled.isBound ? sockets.map(({ bound }) => bound) : compiled.addresses,
      connections: runtime.connectionCount,
    }));
    const leaving = [...this.leaving]
      .filter((runtime) => runtime.connectionCount > 0)
      .map((runtime) => ({
        name: runtime.settings.name,
        state: 'draining' as const,
        addresses: [],
        connections: runtime.connectionCount,
      }));
    return [...active, ...leaving];
  }

  /** Whether what is sent to an address comes back to this proxy to be sent out again. */
  leadsOut(address: string, port: number): boolean {
    const outbound = [...this.active.values()].filter(
      ({ compiled }) => compiled.config.trafficDirection !== TrafficDirection.INBOUND,
    );
    return outbound.some(({ sockets }) =>
      sockets.some(({ bound }) => bound.address === address && bound.port === port),
    );
  }

  connections(): ServedConnection[] {
    const runtimes = [...[...this.active.values()].map(({ runtime }) => runtime), ...this.leaving];
    return runtimes.flatMap((runtime) => runtime.allConnections());
  }

  stopAccepting(): void {
    for (const socket of this.sockets.values()) socket.close();
    this.sockets.clear();
  }

  closeAll(): void {
    this.stopAccepting();
    for (const { runtime } of this.active.values()) runtime.closeAll();
    for (const runtime of this.leaving) runtime.closeAll();
  }

  private drainGoneChains(runtime: ListenerRuntime, old: CompiledListener, now: CompiledListener): void {
    const gone = new Set(
      [...old.chains].filter(([key]) => !now.chains.has(key)).map(([, { runtime: chain }]) => chain.served),
    );
    if (gone.size === 0) return;
    for (const chain of gone) chain.draining = true;
    this.drainLater(runtime, runtime.drainChains(gone));
  }

  /** Gone chains let go of their connections in time: those of HTTP sooner, since they lose nothing by it. */
  private drainLater(runtime: ListenerRuntime, connections: readonly ServedConnection[]): void {
    const tcp = connections.filter(({ chain }) => chain.kind === 'tcp');
    const http = connections.filter(({ chain }) => chain.kind === 'http');
    const lastMs = tcp.length > 0 ? TCP_DRAIN_MS : DRAIN_MS;
    if (connections.length === 0) {
      this.leaving.delete(runtime);
      return;
    }
    this.after(DRAIN_MS / 2, () => {
      for (const connection of http) connection.drain();
    });
    this.after(DRAIN_MS, () => {
      for (const connection of http) connection.abort();
    });
    this.after(lastMs, () => {
      for (const connection of tcp) connection.abort();
      this.leaving.delete(runtime);
    });
  }

  private after(delayMs: number, act: () => void): void {
    this.path.wheel.schedule(new Timer({ onTimer: act }, 0), delayMs);
  }
}

/** By the address that a connection was opened to. What has no socket of its own comes before what has one. */
function destinationIndex(active: readonly ActiveListener[]): Map<string, ListenerRuntime> {
  const index = new Map<string, ListenerRuntime>();
  const sorted = [...active].sort((a, b) => Number(b.compiled.isBound) - Number(a.compiled.isBound));
  for (const { runtime, compiled } of sorted) {
    for (const { address, port, ipv4Compat } of compiled.addresses) {
      const canonical = canonicalAddress(address);
      index.set(`${canonical} ${port}`, runtime);
      if (ipv4Compat && canonical === '::') index.set(`0.0.0.0 ${port}`, runtime);
    }
  }
  return index;
}

function socketKey(listener: string, index: number, address: string, port: number): string {
  return port === 0 ? `${address}:0|${listener}|${index}` : `${address}:${port}`;
}
