// Downstream: TLS for a filter chain: handshake by OpenSSL on the accepted socket, then the peer check.

import { constants, createHash, createHmac } from 'node:crypto';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, Server, type TLSSocket, type TlsOptions } from 'node:tls';
import type { DownstreamTlsContext } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import type { DataPath } from '../transport/data-path.js';
import { keepSocket } from '../transport/keep-socket.js';
import {
  checkPeer,
  type PeerCertificate,
  PeerRefused,
  type ShownPeer,
  shownBySocket,
} from '../transport/peer-check.js';
import type { OwnedSocket, ProxySocket } from '../transport/proxy-socket.js';
import type { Certificate, SecretStore } from '../transport/secret-store.js';
import type { SecurityPairs } from '../transport/security-pairs.js';
import type { AddressParts, StreamHandle } from '../transport/stream-handles.js';
import { compileTlsSettings, type Problem, type TlsSettings } from '../transport/tls-settings.js';
import { NativeHandshake } from './handshake/native-handshake.js';
import { alpnWire, canSecureHandles, secureHandle } from './handshake/secured-handle.js';
import type { ClientCertDetails, DownstreamTls, VerifiedClient } from './tls-acceptor.js';

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** Of what the keys of session tickets are derived from. */
export const TICKET_SECRET_BYTES = 48;
type Done = Parameters<DownstreamTls['accept']>[3];

/** A server with the secrets of a certain version. */
interface Versioned {
  readonly server: Server;
  version: number;
}

/** The context of the moment for handshakes on native handles: made again when secrets change. */
interface Current {
  readonly context: SecureContext;
  readonly version: number;
}

/** A TLS socket that a tls.Server made knows the socket below it; Node has had this field since the beginning. */
type WrappingSocket = TLSSocket & { readonly _parent?: Socket };

/** A connection whose handshake is under way. */
interface Waiting {
  readonly socket: ProxySocket;
  readonly done: Done;
}

export class TlsAcceptor implements DownstreamTls {
  private readonly settings: TlsSettings;
  private readonly requireClient: boolean;
  /** With the configured protocols, and without any. */
  private readonly servers: { negotiating?: Versioned; silent?: Versioned } = {};
  private current: Current | undefined;
  private readonly alpn: Buffer;
  private certificate: Certificate | undefined;
  /** By the Node socket below TLS. */
  private readonly waiting = new WeakMap<Socket, Waiting>();

  constructor(
    context: DownstreamTlsContext,
    private readonly path: DataPath,
    private readonly secrets: SecretStore,
    private readonly pairs: SecurityPairs,
    private readonly details: ClientCertDetails,
    private readonly listenerName: string,
    problem: Problem,
  ) {
    this.settings = compileTlsSettings(context.commonTlsContext, secrets, problem);
    this.alpn = alpnWire(this.settings.applicationProtocols);
    this.requireClient = context.requireClientCertificate ?? false;
    if (this.requireClient && !this.settings.verifiesPeer) {
      problem('require_client_certificate', 'needs a validation context to verify clients with');
    }
  }

  accept(socket: ProxySocket, first: Uint8Array | null, offered: readonly string[], done: Done): void {
    let shake: () => void;
    try {
      shake = this.prepare(socket, first, offered, done);
    } catch (error) {
      this.log(socket.remoteAddress, (error as Error).message);
      socket.owner = null;
      socket.destroy();
      done(null, NO_CLIENT);
      return;
    }
    shake();
  }

  /** Chooses the context and the way. @throws Error where a secret is missing */
  private prepare(socket: ProxySocket, first: Uint8Array | null, offered: readonly string[], done: Done): () => void {
    const { applicationProtocols } = this.settings;
    // OpenSSL ends a handshake where both sides name protocols and share none; Envoy goes on without one.
    const negotiates = offered.length === 0 || offered.some((protocol) => applicationProtocols.includes(protocol));
    if (canSecureHandles) {
      const context = this.currentContext();
      const below = socket.takeHandle();
      if (below !== undefined) return () => this.shakeHandle(socket, below, context, first, negotiates, done);
    }
    const server = this.currentServer(negotiates);
    return () => this.shakeSocket(socket, server, first, done);
  }

  /** On the accepted handle itself, without Node's sockets. */
  private shakeHandle(
    socket: ProxySocket,
    below: StreamHandle,
    context: SecureContext,
    first: Uint8Array | null,
    negotiates: boolean,
    done: Done,
  ): void {
    const peer = addressOf(below);
    const secured = secureHandle(below, context);
    const end = (owned: OwnedSocket | null, client: VerifiedClient): void => {
      socket.owner = null;
      if (owned !== null) this.path.stats.downstreamCxTlsTotal++;
      done(owned, client);
    };
    if (secured === undefined) {
      below.close();
      this.log(peer(), UNKNOWN_HANDLES);
      end(null, NO_CLIENT);
      return;
    }
    let client = NO_CLIENT;
    let refusal: unknown;
    const handshake = new NativeHandshake(
      this.path,
      secured,
      {
        requestCertificate: this.settings.verifiesPeer,
        refuseWithout: this.requireClient,
        alpn: negotiates ? this.alpn : NO_PROTOCOLS,
        timeoutMs: HANDSHAKE_TIMEOUT_MS,
      },
      {
        verify: (shown) => {
          try {
            client = this.verify(shown);
          } catch (error) {
            refusal = error;
            throw error;
          }
        },
        onSecured: (owned) => end(owned, client),
        onRefused: (reason) => {
          this.log(peer(), reason, refusal);
          end(null, NO_CLIENT);
        },
      },
    );
    socket.owner = {
      onRead: () => {},
      onEnd: () => {},
      onClosed: () => {
        handshake.abandon();
        end(null, NO_CLIENT);
      },
    };
    handshake.start(first);
  }

  /** By Node's own TLS sockets. */
  private shakeSocket(socket: ProxySocket, server: Server, first: Uint8Array | null, done: Done): void {
    // From here on the TLS socket reads from the handle; what was read already goes first.
    const below = socket.release(first);
    this.waiting.set(below, { socket, done });
    socket.owner = { onRead: () => {}, onEnd: () => {}, onClosed: () => this.finish(below, null, NO_CLIENT) };
    // A client that leaves during the handshake ends it at once; afterwards the owner sees the end itself.
    below.allowHalfOpen = false;
    server.emit('connection', below);
  }

  /** With the present secrets. @throws Error where one is missing */
  private currentContext(): SecureContext {
    const { version } = this.secrets;
    if (this.current?.version !== version) {
      const context = createSecureContext({ ...this.contextOptions(), honorCipherOrder: true });
      this.current = { context, version };
    }
    return this.current.context;
  }

  /** The server with the present secrets: a renewal replaces its context, open connections are not touched. */
  private currentServer(negotiates: boolean): Server {
    const kind = negotiates ? 'negotiating' : 'silent';
    const known = this.servers[kind];
    if (known?.version === this.secrets.version) return known.server;
    const options = this.contextOptions();
    const { version } = this.secrets;
    if (known !== undefined) {
      known.server.setSecureContext(options);
      known.version = version;
      return known.server;
    }
    const server = this.createServer(options, negotiates ? this.settings.applicationProtocols : []);
    this.servers[kind] = { server, version };
    return server;
  }

  /** @throws Error where a secret is missing */
  private contextOptions(): TlsOptions {
    const certificates = this.settings.certificates();
    const bundle = this.settings.trustBundle();
    const revoked = this.settings.revocations();
    const certificate = certificates?.[0];
    const fault = this.settings.faultOfSecrets();
    if (fault !== undefined || certificates === undefined || certificate === undefined) {
      throw new Error(`${fault ?? 'there is no certificate'} for this listener`);
    }
    this.certificate = certificate;
    return {
      ...this.settings.contextOptions,
      // A session that is resumed knows the client's certificate, and no others of its chain.
      ...(this.details.chain
        ? { secureOptions: (this.settings.contextOptions.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET }
        : {}),
      // Of several, as one with RSA beside one with ECDSA, OpenSSL shows the one that the client can verify.
      cert: certificates.map(({ chainPem }) => chainPem),
      key: certificates.map(({ keyPem }) => keyPem),
      ...(bundle === undefined ? {} : { ca: bundle }),
      ...(revoked === undefined ? {} : { crl: revoked }),
      ...this.ticketOptions(bundle ?? '', revoked ?? ''),
    };
  }

  /** Sessions are resumed across renewals of the certificate, never across a change of the trust bundle. */
  private ticketOptions(bundle: string, revoked: string): Pick<TlsOptions, 'ticketKeys' | 'sessionIdContext'> {
    const scope = JSON.stringify([bundle, revoked, this.requireClient, this.settings.verifiesPeer]);
    return {
      ticketKeys: createHmac('sha384', this.path.ticketSecret).update(scope).digest(),
      sessionIdContext: createHash('sha256').update(scope).digest('hex').slice(0, 32),
    };
  }

  private createServer(options: TlsOptions, applicationProtocols: readonly string[]): Server {
    const { verifiesPeer } = this.settings;
    const server = new Server({
      ...options,
      requestCert: verifiesPeer,
      rejectUnauthorized: this.requireClient,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      allowHalfOpen: true,
      ...(applicationProtocols.length === 0 ? {} : { ALPNProtocols: [...applicationProtocols] }),
    });
    server.on('secureConnection', (secured: WrappingSocket) => this.onSecured(secured));
    server.on('tlsClientError', (error: Error, secured: WrappingSocket) => {
      const socket = secured._parent;
      // Where the certificate did not verify, Node's error only says that the socket was closed.
      const reason = secured.authorizationError ?? error;
      const text = reason instanceof Error ? reason.message : String(reason);
      if (socket !== undefined) this.refuse(socket, secured, text, error);
    });
    return server;
  }

  private onSecured(secured: WrappingSocket): void {
    const socket = secured._parent;
    if (socket === undefined) {
      secured.destroy();
      return;
    }
    let client: VerifiedClient;
    try {
      client = this.verify(shownBySocket(secured));
    } catch (error) {
      this.refuse(socket, secured, (error as Error).message, error);
      return;
    }
    const { socket: owned, begin } = keepSocket(secured, this.path.sharedRead, true);
    // From here on the side that ends first does not end the other.
    socket.allowHalfOpen = true;
    secured.allowHalfOpen = true;
    begin();
    this.finish(socket, owned, client);
  }

  private verify(shown: ShownPeer): VerifiedClient {
    const own = this.certificate?.principal ?? '';
    const anonymous = !this.settings.verifiesPeer || (!this.requireClient && shown.certificate() === undefined);
    if (anonymous)
      return { principal: '', securityId: this.pairs.idOf('', own, false), xfcc: '', names: [''], ownName: own };
    const peer = checkPeer(shown, this.settings);
    return {
      principal: peer.principal,
      securityId: this.pairs.idOf(peer.principal, own, true),
      xfcc: xfccElement(own, peer, shown, this.details),
      names: [...peer.names.uris, ...peer.names.dnsNames, peer.subject],
      ownName: own,
    };
  }

  /** What is on top is closed first: closing what is below it would pull the handle from under it. */
  private refuse(below: Socket, secured: TLSSocket, reason: string, error: unknown): void {
    this.log(below.remoteAddress, reason, error);
    const known = this.waiting.get(below);
    if (known !== undefined) known.socket.owner = null;
    secured.destroy();
    this.finish(below, null, NO_CLIENT);
  }

  /** As in Envoy, who is refused for the certificate is counted by what is wrong with it, and not as an error. */
  private log(peer: string | undefined, reason: string, error?: unknown): void {
    const { stats } = this.path;
    const fault = error instanceof PeerRefused ? error.fault : NO_CERTIFICATE.test(reason) ? 'no_cert' : undefined;
    if (fault === undefined) stats.downstreamCxTlsErrors++;
    else stats.downstreamCxTlsRefused[fault]++;
    this.path.log('info', 'TLS connection refused', { listener: this.listenerName, peer, reason });
  }

  private finish(below: Socket, secured: OwnedSocket | null, client: VerifiedClient): void {
    const known = this.waiting.get(below);
    if (known === undefined) return;
    this.waiting.delete(below);
    known.socket.owner = null;
    if (secured !== null) this.path.stats.downstreamCxTlsTotal++;
    known.done(secured, client);
  }
}

const UNKNOWN_HANDLES = "this Node's TLS is not as expected; start the sidecar with LATEEN_SOCKETS=streams";
/** OpenSSL's words, and Node's, about a client without one. */
const NO_CERTIFICATE = /peer did not return a certificate|PEER_DID_NOT_RETURN_A_CERTIFICATE/;
const NO_PROTOCOLS = new Uint8Array(0);

/** Asked for only where something is logged, and then while the handle is still open. */
function addressOf(handle: StreamHandle): () => string | undefined {
  return () => {
    const parts: AddressParts = {};
    handle.getpeername(parts);
    return parts.address;
  };
}

const NO_CLIENT: VerifiedClient = { principal: '', securityId: 0, xfcc: '', names: [] };

const ENCODED: Readonly<Record<string, string>> = { '\n': '%0A', ' ': '%20', '+': '%2B', '/': '%2F', '=': '%3D' };

/** A certificate as Envoy writes it into the element: PEM, with what is no letter, digit or dash in it as in URLs. */
function encodedPem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  const pem = ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
  return pem.replaceAll(/[\n +/=]/g, (character) => ENCODED[character]!);
}

/** In double quotes, as Envoy's notation has it, where it would else end early and say more: whoever asks for a certificate chooses its names. */
function quotedName(name: string): string {
  return /[,;"]/.test(name) ? `"${name.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : name;
}

/** Envoy's element: By, where the own certificate has a name for it, Hash, then what the configuration asks for. */
function xfccElement(own: string, peer: PeerCertificate, shown: ShownPeer, details: ClientCertDetails): string {
  const parts = [...(own === '' ? [] : [`By=${own}`]), `Hash=${peer.hash}`];
  if (details.cert) parts.push(`Cert="${shown.chain().slice(0, 1).map(encodedPem).join('')}"`);
  if (details.chain) parts.push(`Chain="${shown.chain().map(encodedPem).join('')}"`);
  if (details.subject) parts.push(`Subject="${peer.subject.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  if (details.uri) {
    const { uris } = peer.names;
    for (const uri of uris.length === 0 ? [''] : uris) parts.push(`URI=${quotedName(uri)}`);
  }
  if (details.dns) for (const name of peer.names.dnsNames) parts.push(`DNS=${quotedName(name)}`);
  return parts.join(';');
}
