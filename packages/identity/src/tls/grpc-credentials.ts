// TLS for gRPC: credentials that follow an identity source through renewals and check the peer after every handshake.

import { constants } from 'node:crypto';
import type { ServerHttp2Session } from 'node:http2';
import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type SecureContext, type SecureContextOptions, type TLSSocket } from 'node:tls';
import {
  CallCredentials,
  ChannelCredentials,
  type experimental,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import type { SpiffeId } from '../spiffe-id.js';
import { parsePeerSpiffeId } from '../subject-alt-names.js';
import type { IdentitySource, WorkloadIdentity } from '../workload-identity.js';
import { endAtExpiry } from './expiry.js';
import { type PeerRule, peerAllowed, requirePeer } from './peer-verification.js';

export interface GrpcServerCredentialsOptions {
  /** True: a client without a certificate of the trust roots cannot connect. False: none is asked for (Citadel). */
  readonly requireClientCertificate: boolean;
  /**
   * Where none is required: one that is shown is verified, so that a call's `getAuthContext` has it only where it is of the
   * trust roots.
   */
  readonly acceptClientCertificate?: boolean;
}

/**
 * Server credentials that serve the source's present certificate; a renewal applies to the next handshake, open
 * connections stay until a certificate of either side ends. Sessions are never resumed: tickets are off, since a control-plane connection lives long, and a
 * resumed one would keep the verdict of an older handshake.
 * Until the source has an identity every connection is dropped.
 */
export function grpcServerCredentials(
  source: IdentitySource,
  options: GrpcServerCredentialsOptions,
): ServerCredentials {
  return new IdentityServerCredentials(source, options);
}

class IdentityServerCredentials extends ServerCredentials {
  #unsubscribe: (() => void) | undefined;
  readonly #source: IdentitySource;
  readonly #options: GrpcServerCredentialsOptions;

  constructor(source: IdentitySource, options: GrpcServerCredentialsOptions) {
    const { requireClientCertificate: required, acceptClientCertificate: accepted = false } = options;
    super(
      { requestCert: required || accepted, rejectUnauthorized: required },
      source.current === undefined ? undefined : serverContextOptions(source.current),
    );
    this.#source = source;
    this.#options = options;
  }

  override _addWatcher(watcher: (options: SecureContextOptions | null) => void): void {
    super._addWatcher(watcher);
    if (this.#unsubscribe !== undefined) return;
    this.#unsubscribe = this.#source.subscribe((identity) =>
      this.updateSecureContextOptions(serverContextOptions(identity)),
    );
    // The source may have changed between the constructor and the bind.
    if (this.#source.current !== undefined) {
      this.updateSecureContextOptions(serverContextOptions(this.#source.current));
    }
  }

  override _removeWatcher(watcher: (options: SecureContextOptions | null) => void): void {
    super._removeWatcher(watcher);
    if (this.getWatcherCount() > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  override _getInterceptors(): ServerInterceptor[] {
    return [endConnectionAtExpiry];
  }

  override _equals(other: ServerCredentials): boolean {
    return (
      other instanceof IdentityServerCredentials &&
      other.#source === this.#source &&
      other.#options.requireClientCertificate === this.#options.requireClientCertificate &&
      other.#options.acceptClientCertificate === this.#options.acceptClientCertificate
    );
  }
}

const timed = new WeakSet<ServerHttp2Session>();

/** The first call on a connection sets the time of its end; one without calls carries nothing. */
const endConnectionAtExpiry: ServerInterceptor = (_method, call) => {
  // The call that is nearest to the wire has its stream, which @grpc/grpc-js does not declare.
  const { session } = (call as unknown as { stream?: { session?: ServerHttp2Session } }).stream ?? {};
  if (session !== undefined && !session.destroyed && !timed.has(session)) {
    timed.add(session);
    endAtExpiry(session.socket as TLSSocket, session);
  }
  return new ServerInterceptingCall(call);
};

/** What a TLS server of the control plane presents and trusts. Exported for the HTTPS server beside it. */
export function serverContextOptions(identity: WorkloadIdentity): SecureContextOptions {
  return {
    key: identity.keyPem,
    cert: identity.certChainPem,
    ca: identity.rootsPem,
    minVersion: 'TLSv1.2',
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** The trust roots alone, for a client that authenticates by token (the certificate client itself). */
export interface TrustRoots {
  readonly rootsPem: string;
  /** Shown where the server asks for a client certificate. */
  readonly client?: Pick<WorkloadIdentity, 'keyPem' | 'certChainPem'> | undefined;
}

export interface GrpcChannelCredentialsOptions {
  /** Which servers are welcome; checked after every handshake. */
  readonly expectedSpiffeIds: PeerRule;
}

/**
 * Channel credentials for @grpc/grpc-js: present the source's certificate, trust its roots, and admit the server by its
 * SPIFFE id instead of its host name. Each new connection takes the identity of that moment; sessions are not resumed.
 * Connecting waits until the source has an identity.
 */
export function grpcChannelCredentials(
  source: IdentitySource,
  options: GrpcChannelCredentialsOptions,
): ChannelCredentials {
  return new IdentityChannelCredentials(new ContextFollower(source), options.expectedSpiffeIds);
}

/** Channel credentials without an identity source: the server is verified, and a certificate shown only where one is given. */
export function grpcServerOnlyCredentials(
  roots: TrustRoots,
  options: GrpcChannelCredentialsOptions,
): ChannelCredentials {
  const context = createSecureContext({
    ca: roots.rootsPem,
    key: roots.client?.keyPem,
    cert: roots.client?.certChainPem,
    minVersion: 'TLSv1.2',
  });
  return new IdentityChannelCredentials({ latest: () => Promise.resolve(context) }, options.expectedSpiffeIds);
}

interface ContextSource {
  latest(): Promise<SecureContext>;
}

/** Builds the TLS context of an identity once and reuses it until the identity changes. */
class ContextFollower implements ContextSource {
  readonly #source: IdentitySource;
  #built: { identity: WorkloadIdentity; context: SecureContext } | undefined;

  constructor(source: IdentitySource) {
    this.#source = source;
  }

  async latest(): Promise<SecureContext> {
    const identity = this.#source.current ?? (await nextIdentity(this.#source));
    if (this.#built?.identity !== identity) {
      const context = createSecureContext({
        key: identity.keyPem,
        cert: identity.certChainPem,
        ca: identity.rootsPem,
        minVersion: 'TLSv1.2',
      });
      this.#built = { identity, context };
    }
    return this.#built.context;
  }
}

function nextIdentity(source: IdentitySource): Promise<WorkloadIdentity> {
  return new Promise((resolve) => {
    const unsubscribe = source.subscribe((identity) => {
      unsubscribe();
      resolve(identity);
    });
  });
}

class IdentityChannelCredentials extends ChannelCredentials {
  constructor(
    private readonly contexts: ContextSource,
    private readonly expected: PeerRule,
  ) {
    super();
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return other === this;
  }

  override _createSecureConnector(
    target: Parameters<ChannelCredentials['_createSecureConnector']>[0],
    _options: Parameters<ChannelCredentials['_createSecureConnector']>[1],
    callCredentials?: CallCredentials,
  ): experimental.SecureConnector {
    const host = target.path.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
    return {
      connect: (socket) => this.connect(socket, host),
      waitForReady: async () => {
        await this.contexts.latest();
      },
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }

  private async connect(socket: Socket, host: string): Promise<experimental.SecureConnectResult> {
    const secureContext = await this.contexts.latest();
    return new Promise((resolve, reject) => {
      const secured = connect({
        socket,
        secureContext,
        ALPNProtocols: ['h2'],
        // RFC 6066 knows no addresses as server names.
        ...(isIP(host) === 0 ? { servername: host } : {}),
        checkServerIdentity: () => undefined, // the id is checked below, where it also covers resumed sessions
      });
      const fail = (error: Error) => {
        secured.destroy();
        reject(error);
      };
      const closed = () => fail(new Error('the connection closed during the TLS handshake'));
      secured.once('error', fail);
      secured.once('close', closed);
      secured.once('secureConnect', () => {
        secured.off('error', fail);
        secured.off('close', closed);
        try {
          requirePeer(secured, this.expected);
        } catch (error) {
          fail(error as Error);
          return;
        }
        endAtExpiry(secured);
        resolve({ socket: secured, secure: true });
      });
    });
  }
}

/** What `peerSpiffeId` needs of a gRPC server call; every call type of @grpc/grpc-js has it. */
export interface AuthenticatedCall {
  getAuthContext(): { sslPeerCertificate?: { raw: Buffer } };
}

/** The verified SPIFFE id of the client that makes this call. @throws GrpcAccessError UNAUTHENTICATED */
export function peerSpiffeId(call: AuthenticatedCall): SpiffeId {
  const raw = call.getAuthContext().sslPeerCertificate?.raw;
  if (raw === undefined) throw new GrpcAccessError(status.UNAUTHENTICATED, 'a verified client certificate is required');
  try {
    return parsePeerSpiffeId(raw);
  } catch (error) {
    throw new GrpcAccessError(status.UNAUTHENTICATED, (error as Error).message);
  }
}

/** As `peerSpiffeId`, and the rule must admit the client. @throws GrpcAccessError UNAUTHENTICATED or PERMISSION_DENIED */
export function requirePeerSpiffeId(call: AuthenticatedCall, rule: PeerRule): SpiffeId {
  const peer = peerSpiffeId(call);
  if (!peerAllowed(rule, peer))
    throw new GrpcAccessError(status.PERMISSION_DENIED, `${peer} may not call this service`);
  return peer;
}

/** A gRPC status error; pass it to a unary callback or to `call.emit('error', ...)`. */
export class GrpcAccessError extends Error {
  readonly details: string;

  constructor(
    readonly code: status,
    message: string,
  ) {
    super(message);
    this.name = 'GrpcAccessError';
    this.details = message;
  }
}
