// Downstream TLS: one handshake on an accepted handle, without Node's sockets; hands over a socket that may be used at once.

import type { DataPath } from '../../transport/data-path.js';
import { HandleSocket } from '../../transport/handle-socket.js';
import type { ShownPeer } from '../../transport/peer-check.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import { type StreamHandle, streamInternals, systemError } from '../../transport/stream-handles.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import { closeSecured, type SecuredHandle } from './secured-handle.js';

export interface HandshakeResult {
  /** The handshake is done; says whether the peer is welcome, before any of its bytes was used. @throws Error if not */
  verify(shown: ShownPeer): void;
  onSecured(socket: OwnedSocket): void;
  /** The connection is about to be closed. */
  onRefused(reason: string): void;
}

export interface HandshakeOptions {
  readonly requestCertificate: boolean;
  readonly refuseWithout: boolean;
  /** Empty where no protocol is negotiated. */
  readonly alpn: Uint8Array;
  readonly timeoutMs: number;
}

function onHandshakeRead(this: StreamHandle): void {
  const { results, readResult } = streamInternals!;
  const length = results[readResult]!;
  if (length < 0) (this.driver as NativeHandshake).onReadEnded(length);
}
function onHandshakeDone(this: SecuredHandle): void {
  this.onhandshakedone = nothing;
  (this.driver as NativeHandshake).onDone();
}
/** Only once the handshake is done: the stream then has another driver, which is told by an end or an error of reading. */
function onLaterError(this: SecuredHandle, error: Error): void {
  (this.driver as HandleSocket).destroy(error);
}
function onHandshakeError(this: SecuredHandle, error: Error): void {
  (this.driver as NativeHandshake).refuse(error.message);
}
function nothing(): void {}

export class NativeHandshake implements TimerOwner {
  private over = false;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly secured: SecuredHandle,
    private readonly options: HandshakeOptions,
    private readonly result: HandshakeResult,
  ) {}

  /** `first` are bytes that were read already. */
  start(first: Uint8Array | null): void {
    const { secured, options, path } = this;
    secured.driver = this;
    secured.onread = onHandshakeRead;
    secured.onhandshakestart = nothing;
    secured.onhandshakedone = onHandshakeDone;
    secured.onerror = onHandshakeError;
    if (options.requestCertificate) secured.setVerifyMode(true, options.refuseWithout);
    if (options.alpn.length > 0) secured.setALPNProtocols(options.alpn);
    path.wheel.schedule(this.timer, options.timeoutMs);
    // A copy: what comes of it could be read into the same buffer.
    if (first !== null && first.length > 0) secured.receive(Buffer.from(first));
    if (this.over) return;
    secured.reading = true;
    const error = secured.readStart();
    if (error !== 0) this.refuse(systemError(error, 'read').message);
  }

  /** The listener closes. */
  abandon(): void {
    if (this.finish()) closeSecured(this.secured);
  }

  onTimer(): void {
    this.path.clock.tick();
    this.refuse('the handshake took too long');
  }

  onReadEnded(status: number): void {
    if (!this.finish()) return;
    this.result.onRefused(`the client left during the handshake (${systemError(status, 'read').message})`);
    closeSecured(this.secured);
  }

  refuse(reason: string): void {
    if (!this.finish()) return;
    // Told first: the log names the peer, which only an open handle knows.
    this.result.onRefused(reason);
    closeSecured(this.secured);
  }

  onDone(): void {
    if (this.over) return;
    const { secured } = this;
    try {
      this.result.verify(shownBy(secured));
    } catch (error) {
      this.refuse((error as Error).message);
      return;
    }
    this.finish();
    const socket = new HandleSocket(this.path.sharedRead, null);
    secured.onerror = onLaterError;
    socket.drive(secured);
    this.result.onSecured(socket);
  }

  private finish(): boolean {
    if (this.over) return false;
    this.over = true;
    this.path.wheel.cancel(this.timer);
    return true;
  }
}

/** Read when asked for: a listener that wants no certificates asks for none. */
function shownBy(secured: SecuredHandle): ShownPeer {
  return {
    verifyError: () => {
      const error = secured.verifyError();
      return error === null || error === undefined ? undefined : (error.code ?? error.message);
    },
    certificate: () => secured.getPeerX509Certificate()?.raw(),
    chain: () => {
      const sent: Buffer[] = [];
      for (let each = secured.getPeerX509Certificate(); each !== undefined; each = each.getIssuerCert())
        sent.push(each.raw());
      return sent;
    },
    resumed: () => secured.isSessionReused(),
  };
}
