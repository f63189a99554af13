// Upstream: TLS toward endpoints, with sessions resumed by endpoint and the peer checked after every handshake.

import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { toBinary } from '@bufbuild/protobuf';
import {
  type UpstreamTlsContext,
  UpstreamTlsContextSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/tls_pb.js';
import { type PresentedAddresses, writeProxyHeader } from '../downstream/listener-filters/proxy-header.js';
import type { DataPath } from '../transport/data-path.js';
import { keepSocket } from '../transport/keep-socket.js';
import { checkPeer, type PeerCertificate, shownBySocket } from '../transport/peer-check.js';
import type { SecretStore } from '../transport/secret-store.js';
import type { SecurityPairs } from '../transport/security-pairs.js';
import { compileTlsSettings, type Problem, type TlsSettings } from '../transport/tls-settings.js';
import type { DialTarget } from './connection-owner.js';
import { dial, isPipe, keepAlive, placeOf } from './dial.js';
import type {
  AlpnOffer,
  OpenedSocket,
  ProxyVersion,
  TransportEvents,
  UpstreamTransport,
} from './upstream-transport.js';

const MAX_MARGIN_MS = 30_000;

interface StoredSession {
  readonly session: Buffer;
  /** A resumed session shows the old certificates, so it is worth nothing once one of them has expired. */
  readonly validUntilMs: number;
  readonly bundle: string;
  readonly peer: PeerCertificate | undefined;
}

/** The context of the moment: made again when secrets change. */
interface Current {
  readonly version: number;
  readonly context: SecureContext;
  readonly bundle: string;
  /** Why no connection can be made; undefined where one can. */
  readonly fault: string | undefined;
  readonly principal: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export class UpstreamTls implements UpstreamTransport {
  readonly key: string;
  readonly tls = true;
  private readonly settings: TlsSettings;
  private readonly sni: string;
  private current: Current | undefined;
  private readonly sessions = new WeakMap<DialTarget, StoredSession>();

  constructor(
    context: UpstreamTlsContext,
    private readonly path: DataPath,
    private readonly secrets: SecretStore,
    private readonly pairs: SecurityPairs,
    problem: Problem,
    private readonly proxyVersion: ProxyVersion = 0,
  ) {
    const digest = createHash('sha256').update(toBinary(UpstreamTlsContextSchema, context)).digest('hex');
    this.key = `${digest} ${proxyVersion}`;
    this.settings = compileTlsSettings(context.commonTlsContext, secrets, problem);
    this.sni = isIP(context.sni) === 0 ? context.sni : '';
  }

  get clientBound(): boolean {
    return this.proxyVersion !== 0;
  }

  open(
    target: DialTarget,
    events: TransportEvents,
    offer: AlpnOffer,
    client: PresentedAddresses | undefined,
    keepAliveMs?: number,
  ): OpenedSocket {
    const current = this.currentContext();
    const stored = this.sessions.get(target);
    const resumable = stored !== undefined && stored.bundle === current.bundle && Date.now() < stored.validUntilMs;
    const { applicationProtocols, verifiesPeer } = this.settings;
    const exchanges = applicationProtocols.includes(target.cluster.exchangeProtocol);
    const configured = exchanges ? (offer.instead ?? applicationProtocols) : applicationProtocols;
    const offered = offer.always ?? (configured.length === 0 ? offer.unset : configured);
    const options: ConnectionOptions & { allowHalfOpen: boolean } = {
      ...this.destination(target, client, keepAliveMs),
      secureContext: current.context,
      rejectUnauthorized: verifiesPeer,
      // Not called on resumed sessions, so names are checked below, in every case.
      checkServerIdentity: () => undefined,
      allowHalfOpen: true,
      ...(this.sni === '' ? {} : { servername: this.sni }),
      ...(offered.length === 0 ? {} : { ALPNProtocols: [...offered] }),
      ...(resumable ? { session: stored.session } : {}),
    };
    const socket = connect(options);
    options.socket?.on('error', (error) => socket.destroy(error));
    const { socket: owned, begin } = keepSocket(socket, this.path.sharedRead, true, isPipe(target));
    owned.owner = events;
    // Without what it shall show or check there is no connection, rather than one that promises less.
    if (current.fault !== undefined) socket.destroy(new Error(current.fault));
    let peer: PeerCertificate | undefined;
    let verified = false;
    socket.on('session', (session: Buffer) => {
      // Tickets may come before the handshake is judged; only those of a judged one are kept.
      if (!verified) return;
      // A ticket from a resumed handshake still stands for the certificates of the first one.
      const ownUntilMs = socket.isSessionReused() && stored !== undefined ? stored.validUntilMs : usableUntil(current);
      const validUntilMs = Math.min(usableUntil(peer), ownUntilMs);
      this.sessions.set(target, { session, validUntilMs, bundle: current.bundle, peer });
    });
    socket.once('secureConnect', () => {
      try {
        const remembered = resumable ? stored.peer : undefined;
        if (verifiesPeer) peer = checkPeer(shownBySocket(socket), this.settings, remembered);
      } catch (error) {
        this.sessions.delete(target);
        socket.destroy(error as Error);
        return;
      }
      verified = true;
      if (socket.isSessionReused()) this.path.stats.upstreamCxTlsResumed++;
      socket.setNoDelay(true);
      begin();
      events.onReady(
        peer?.principal ?? '',
        this.pairs.idOf(current.principal, peer?.principal ?? '', isMutual(socket)),
      );
    });
    // A server that no longer accepts the session, or us, must see a full handshake next time.
    socket.once('error', () => this.sessions.delete(target));
    return { socket: owned, resuming: resumable };
  }

  /**
   * Where a PROXY protocol header goes first, TLS is put on a socket that has it written already; and on one that comes from a
   * given address.
   */
  private destination(
    target: DialTarget,
    client: PresentedAddresses | undefined,
    keepAliveMs: number | undefined,
  ): ConnectionOptions {
    if (this.proxyVersion === 0 && target.cluster.source === undefined) {
      return { ...placeOf(target), ...keepAlive(keepAliveMs) };
    }
    const socket = dial(target, keepAliveMs);
    if (this.proxyVersion !== 0) socket.write(writeProxyHeader(this.proxyVersion, client));
    return { socket };
  }

  private currentContext(): Current {
    if (this.current !== undefined && this.current.version === this.secrets.version) return this.current;
    const certificates = this.settings.certificates();
    const certificate = certificates?.[0];
    const bundle = this.settings.trustBundle();
    const revoked = this.settings.revocations();
    this.current = {
      version: this.secrets.version,
      context: createSecureContext({
        ...this.settings.contextOptions,
        ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.keyPem }),
        ...(revoked === undefined ? {} : { crl: revoked }),
        // An empty list trusts nobody; without the option Node would trust the public roots.
        ...(this.settings.verifiesPeer ? { ca: bundle ?? [] } : {}),
      }),
      bundle: `${bundle ?? ''}${revoked ?? ''}`,
      fault: this.settings.faultOfSecrets(),
      principal: certificate?.principal ?? '',
      notBeforeMs: certificate?.notBeforeMs ?? 0,
      notAfterMs: certificate?.notAfterMs ?? Number.POSITIVE_INFINITY,
    };
    return this.current;
  }
}

/** Sessions are not offered in the last part of a certificate's life, so that it does not expire under a handshake. */
function usableUntil(certificate: { readonly notBeforeMs: number; readonly notAfterMs: number } | undefined): number {
  if (certificate === undefined) return Number.POSITIVE_INFINITY;
  const { notBeforeMs, notAfterMs } = certificate;
  return notAfterMs - Math.min(MAX_MARGIN_MS, (notAfterMs - notBeforeMs) / 4);
}

/** Our side presented a certificate. */
function isMutual(socket: TLSSocket): boolean {
  const own = socket.getCertificate();
  return own !== null && typeof own === 'object' && 'raw' in own;
}
