// Downstream: one configured listener: looks at new connections, chooses their filter chain and keeps track of them.

import type { FilterChainMatch } from '@lateen/xds-proto/envoy/config/listener/v3/listener_components_pb.js';
import type { DataPath } from '../transport/data-path.js';
import type { OwnedSocket, ProxySocket } from '../transport/proxy-socket.js';
import { type ConnectionRegistry, DownstreamConnection } from './downstream-connection.js';
import { type ConnectionFacts, matchFilterChain } from './filter-chain-match.js';
import type { HttpChain } from './http-chain.js';
import type { Acceptor } from './socket-listener.js';
import type { DownstreamTls, VerifiedClient } from './tls-acceptor.js';
import { TlsInspector } from './tls-inspector.js';

/** A compiled filter chain. `key` changes with anything that its connections depend on. */
export interface FilterChainRuntime {
  readonly key: string;
  readonly match: FilterChainMatch | undefined;
  readonly http: HttpChain;
  readonly tls: DownstreamTls | undefined;
}

export interface ListenerSettings {
  readonly name: string;
  /** Look for a ClientHello before choosing the chain. */
  readonly inspect: boolean;
  readonly inspectTimeoutMs: number;
  readonly chains: readonly FilterChainRuntime[];
  readonly defaultChain: FilterChainRuntime | undefined;
}

const NOBODY: VerifiedClient = { principal: '', securityId: 0, xfcc: '' };

export class ListenerRuntime implements Acceptor, ConnectionRegistry {
  private readonly connections = new Set<DownstreamConnection>();
  /** Connections that are being looked at or shaking hands. */
  private readonly opening = new Set<ProxySocket>();

  constructor(
    private readonly path: DataPath,
    public settings: ListenerSettings,
  ) {}

  get connectionCount(): number {
    return this.connections.size;
  }

  accept(socket: ProxySocket, boundPort: number): void {
    const { stats } = this.path;
    stats.downstreamCxTotal++;
    stats.downstreamCxActive++;
    if (!this.settings.inspect) {
      this.route(socket, { ...PLAIN, destinationPort: boundPort }, null);
      return;
    }
    this.opening.add(socket);
    socket.owner = new TlsInspector(this.path, socket, this.settings.inspectTimeoutMs, {
      onInspected: (facts, first) => {
        this.opening.delete(socket);
        this.route(socket, { ...facts, destinationPort: boundPort }, first);
      },
      onRefused: (reason) => {
        this.opening.delete(socket);
        stats.downstreamCxActive--;
        if (reason !== '') {
          stats.downstreamCxTlsErrors++;
          this.path.log('info', 'connection closed while inspecting it', { listener: this.settings.name, reason });
        }
      },
    });
  }

  onAcceptError(error: Error): void {
    this.path.log('error', 'listener cannot accept', { listener: this.settings.name, error: error.message });
  }

  onConnectionGone(connection: DownstreamConnection): void {
    this.connections.delete(connection);
    this.path.stats.downstreamCxActive--;
  }

  /** Connections of these chains are told to leave with their next response. */
  drainChains(chains: ReadonlySet<HttpChain>): DownstreamConnection[] {
    return [...this.connections].filter((connection) => chains.has(connection.chain));
  }

  allConnections(): DownstreamConnection[] {
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
      const connection = this.start(socket, chain.http, facts, 0, NOBODY);
      if (first !== null) connection.onBytes(first);
      return;
    }
    this.opening.add(socket);
    chain.tls.accept(socket, first, facts.applicationProtocols, (secured, client) => {
      this.opening.delete(socket);
      if (secured === null) {
        path.stats.downstreamCxActive--;
        return;
      }
      this.start(secured, chain.http, facts, 1, client);
    });
  }

  private start(
    socket: OwnedSocket,
    http: HttpChain,
    facts: ConnectionFacts,
    secure: 0 | 1,
    client: VerifiedClient,
  ): DownstreamConnection {
    const connection = new DownstreamConnection(this.path, socket, http, facts.serverName, client, secure, this);
    socket.owner = connection;
    this.connections.add(connection);
    if (http.connectionRecordNeeded && connection.record === 0) {
      // Without it the client's address and certificate could not be told on, nor a forged one removed.
      this.path.log('warn', 'connection refused: no room for its record', { listener: this.settings.name });
      connection.abort();
    }
    return connection;
  }
}

const PLAIN: ConnectionFacts = {
  destinationPort: 0,
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};
