// Downstream: one configured listener: looks at new connections, chooses their filter chain and keeps track of them.

import { READ_BUFFER, READ_BUFFER_BYTES } from '@lateen/filters-wasm';
import type { FilterChainMatch } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { TcpChain } from '../tcp/tcp-chain.js';
import { type TcpProxyParts, TcpSession } from '../tcp/tcp-session.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket, ProxySocket } from '../transport/proxy-socket.js';
import type { DownstreamConnection } from './downstream-connection.js';
import { type ConnectionFacts, matchFilterChain } from './filter-chain-match.js';
import type { HttpChain } from './http-chain.js';
import { createHttpConnection, type HttpRegistry, switchToHttp2 } from './http2/http-connections.js';
import { ConnectionInspector, type InspectionRules } from './listener-filters/connection-inspector.js';
import type { DisabledFor } from './listener-filters/filter-disabled.js';
import {
  type InterceptionRules,
  type ListenerLookup,
  LOOP,
  restoreDestination,
} from './listener-filters/interception.js';
import { ProxyHeaderReader, type ProxyHeaderRules } from './listener-filters/proxy-header-reader.js';
import type { ServedChain, ServedConnection } from './served-connection.js';
import type { Acceptor, BoundAddress } from './socket-listener.js';
import type { DownstreamTls, VerifiedClient } from './tls-acceptor.js';

/** A compiled filter chain. `key` changes with anything that its connections depend on. */
export interface FilterChainRuntime {
  readonly key: string;
  readonly match: FilterChainMatch | undefined;
  readonly served: HttpChain | TcpChain;
  readonly tls: DownstreamTls | undefined;
}

export interface ListenerSettings extends InspectionRules {
  readonly name: string;
  /** Connections begin with a header of the PROXY protocol, by these rules. */
  readonly proxyHeader: ProxyHeaderRules | undefined;
  /** Look at the first bytes before choosing the chain: for a ClientHello, and for HTTP where `detectHttp` says so. */
  readonly inspect: boolean;
  /** Ports whose connections are not looked at for a ClientHello, nor for HTTP; undefined: there are none. */
  readonly leavesTls: DisabledFor | undefined;
  readonly leavesHttp: DisabledFor | undefined;
  readonly chains: readonly FilterChainRuntime[];
  /** Some chain is chosen by the address that a connection was opened to. */
  readonly byAddress: boolean;
  readonly defaultChain: FilterChainRuntime | undefined;
  /** Its connections may have been redirected to it; undefined: they are taken as they come. */
  readonly interception: InterceptionRules | undefined;
}

const NOBODY: VerifiedClient = { principal: '', securityId: 0, xfcc: '', names: [] };

export class ListenerRuntime implements Acceptor, HttpRegistry {
  private readonly connections = new Set<ServedConnection>();
  /** Connections that are being looked at or shaking hands. */
  private readonly opening = new Set<ProxySocket>();

  constructor(
    private readonly path: DataPath,
    private readonly tcp: TcpProxyParts,
    public settings: ListenerSettings,
    private readonly listeners: ListenerLookup,
  ) {}

  get connectionCount(): number {
    return this.connections.size;
  }

  accept(socket: ProxySocket, bound: BoundAddress): void {
    const { stats } = this.path;
    stats.downstreamCxTotal++;
    const { interception } = this.settings;
    const destination = interception === undefined ? undefined : restoreDestination(socket, bound, interception);
    if (destination === LOOP) {
      stats.downstreamCxLoops++;
      this.path.log('debug', 'connection to the listener itself', { listener: this.settings.name });
      socket.resetAndDestroy();
      return;
    }
    const other = destination && interception?.handsOver ? this.listeners.listenerFor(destination) : undefined;
    (other ?? this).take(socket, destination?.port ?? bound.port);
  }

  /** A connection of which it is known where it was opened to. */
  private take(socket: ProxySocket, boundPort: number): void {
    const { stats } = this.path;
    if (this.isFull()) {
      stats.downstreamCxOverflow++;
      socket.destroy();
      return;
    }
    stats.downstreamCxActive++;
    const { proxyHeader, inspectTimeoutMs } = this.settings;
    if (proxyHeader === undefined) {
      this.inspect(socket, boundPort, null);
      return;
    }
    this.opening.add(socket);
    socket.owner = new ProxyHeaderReader(this.path, socket, proxyHeader, inspectTimeoutMs, {
      onHeader: (addresses, rest) => {
        this.opening.delete(socket);
        socket.owner = null;
        socket.presented = addresses ?? null;
        this.inspect(socket, addresses?.localPort ?? boundPort, rest.length > 0 ? rest : null);
      },
      onRefused: (reason) => this.refused(socket, reason),
    });
  }

  /** Looks at the connection as far as its chain is chosen by that. `first` are bytes that were read already. */
  private inspect(socket: ProxySocket, port: number, first: Uint8Array | null): void {
    const { settings } = this;
    const detectHttp = settings.detectHttp && settings.leavesHttp?.(port) !== true;
    if (!settings.inspect || (!detectHttp && settings.leavesTls?.(port) === true)) {
      this.route(socket, { ...PLAIN, ...this.destinationOf(socket, port) }, first);
      return;
    }
    this.opening.add(socket);
    const rules = detectHttp === settings.detectHttp ? settings : { ...settings, detectHttp };
    const inspector = new ConnectionInspector(this.path, socket, rules, {
      onInspected: (facts, bytes) => {
        this.opening.delete(socket);
        this.route(socket, { ...facts, ...this.destinationOf(socket, port) }, bytes);
      },
      onRefused: (reason) => this.refused(socket, reason),
    });
    socket.owner = inspector;
    if (first !== null) inspector.inspect(first);
  }

  private refused(socket: ProxySocket, reason: string): void {
    const { stats } = this.path;
    this.opening.delete(socket);
    stats.downstreamCxActive--;
    if (reason === '') return;
    stats.downstreamCxUnrecognized++;
    this.path.log('info', 'connection closed while inspecting it', { listener: this.settings.name, reason });
  }

  /** The address costs a call of the system, so it is asked for only where a chain is chosen by it. */
  private destinationOf(socket: ProxySocket, destinationPort: number) {
    const destinationAddress = this.settings.byAddress ? (socket.localAddress ?? '') : '';
    return { destinationPort, destinationAddress };
  }

  onAcceptError(error: Error): void {
    this.path.log('error', 'listener cannot accept', { listener: this.settings.name, error: error.message });
  }

  private isFull(): boolean {
    const { stats, connectionLimits: limits } = this.path;
    if (stats.downstreamCxActive >= limits.total) return true;
    const own = limits.ofListener.get(this.settings.name);
    return own !== undefined && this.connections.size + this.opening.size >= own;
  }

  onConnectionGone(connection: ServedConnection): void {
    this.connections.delete(connection);
    this.path.stats.downstreamCxActive--;
  }

  beganHttp2(connection: DownstreamConnection, address: number, length: number): boolean {
    const switched = switchToHttp2(this.path, connection, address, length, this);
    if (switched === undefined) return false;
    this.connections.delete(connection);
    this.connections.add(switched);
    switched.onBytes(this.path.core.bytes.subarray(address, address + length));
    return true;
  }

  /** Connections of these chains are told to leave with their next response. */
  drainChains(chains: ReadonlySet<ServedChain>): ServedConnection[] {
    return [...this.connections].filter((connection) => chains.has(connection.chain));
  }

  allConnections(): ServedConnection[] {
    return [...this.connections];
  }

  closeAll(): void {
    for (const socket of this.opening) socket.destroy();
    for (const connection of this.connections) connection.abort();
  }

  /** `first` are the bytes that were read while looking, in the shared read buffer. */
  private route(socket: ProxySocket, facts: ConnectionFacts, first: Uint8Array | null): void {
    const { settings, path } = this;
    const chain = matchFilterChain(settings.chains, facts) ?? settings.defaultChain;
    if (chain === undefined) {
      path.stats.downstreamCxNoFilterChain++;
      path.stats.downstreamCxActive--;
      path.log('debug', 'no filter chain matches the connection', { listener: settings.name, ...facts });
      socket.owner = null;
      socket.destroy();
      return;
    }
    if (chain.tls === undefined) {
      this.start(socket, chain.served, facts, false, NOBODY, first);
      return;
    }
    this.opening.add(socket);
    chain.tls.accept(socket, first, facts.applicationProtocols, (secured, client) => {
      this.opening.delete(socket);
      if (secured === null) {
        path.stats.downstreamCxActive--;
        return;
      }
      secured.presented = socket.presented;
      secured.restored = socket.restored;
      this.start(secured, chain.served, facts, true, client, null);
    });
  }

  private start(
    socket: OwnedSocket,
    chain: HttpChain | TcpChain,
    facts: ConnectionFacts,
    secure: boolean,
    client: VerifiedClient,
    first: Uint8Array | null,
  ): void {
    if (chain.kind === 'tcp') {
      const accepted = { socket, serverName: facts.serverName, client, secure };
      const session = new TcpSession(this.path, chain, this.tcp, accepted, this);
      this.connections.add(session);
      session.start(first === null ? null : first.subarray(0, READ_BUFFER_BYTES));
      this.handRestOver(socket, first);
      return;
    }
    const connection = createHttpConnection(this.path, socket, chain, facts.serverName, client, secure, this);
    this.connections.add(connection);
    if (chain.connectionRecordNeeded && connection.record === 0) {
      // Without it the client's address and certificate could not be told on, nor a forged one removed.
      this.path.log('warn', 'connection refused: no room for its record', { listener: this.settings.name });
      connection.abort();
    } else if (first !== null) {
      connection.onBytes(first.subarray(0, READ_BUFFER_BYTES));
      this.handRestOver(socket, first);
    }
  }

  /** What was read in several reads can be more than one read may bring. */
  private handRestOver(socket: OwnedSocket, first: Uint8Array | null): void {
    const length = first?.length ?? 0;
    for (let at = READ_BUFFER_BYTES; first !== null && at < length && !socket.destroyed; at += READ_BUFFER_BYTES) {
      const piece = first.subarray(at, at + READ_BUFFER_BYTES);
      this.path.core.bytes.set(piece, READ_BUFFER);
      socket.owner?.onRead(piece.length);
    }
  }
}

const PLAIN: ConnectionFacts = {
  destinationPort: 0,
  destinationAddress: '',
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};
