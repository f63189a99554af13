// Health checks: one check by a connection, and by what comes over it.

import { READ_BUFFER } from '@lateen/filters-wasm';
import { describeError } from '../../exchange/local-reply.js';
import type { DataPath } from '../../transport/data-path.js';
import type { OwnedSocket } from '../../transport/proxy-socket.js';
import type { DialTarget } from '../connection-owner.js';
import type { AlpnOffer, TransportEvents, UpstreamTransport } from '../upstream-transport.js';
import { ExpectedBytes } from './expected-bytes.js';
import type { CheckOutcome } from './request-check.js';

export class TcpCheck implements TransportEvents {
  private socket: OwnedSocket | null = null;
  private resuming = false;
  private connected = false;
  private over = false;
  /** It is the second connection of this check. */
  private again = false;
  private readonly expected: ExpectedBytes;

  constructor(
    private readonly path: DataPath,
    private readonly target: DialTarget,
    private readonly transport: UpstreamTransport,
    private readonly offer: AlpnOffer,
    private readonly send: Buffer,
    receive: readonly Buffer[],
    private readonly outcome: CheckOutcome,
  ) {
    this.expected = new ExpectedBytes(receive);
  }

  begin(): void {
    const { socket, resuming } = this.transport.open(this.target, this, this.offer, undefined);
    this.socket = socket;
    this.resuming = resuming;
  }

  cancel(): void {
    this.over = true;
    this.socket?.destroy();
  }

  onReady(): void {
    if (this.over) return;
    this.connected = true;
    if (this.send.length > 0) this.socket?.write(this.send);
    if (this.expected.complete) this.succeed();
  }

  onRead(length: number): void {
    if (this.over) return;
    this.expected.add(this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length));
    if (this.expected.complete) this.succeed();
  }

  onEnd(): void {
    this.socket?.destroy();
  }

  onClosed(error: Error | null): void {
    this.path.clock.tick();
    if (this.over) return;
    // The peer, or we, no longer accept what was remembered: a full handshake decides.
    if (this.resuming && !this.connected && !this.again) {
      this.again = true;
      this.begin();
      return;
    }
    this.over = true;
    const without = this.connected ? 'it closed the connection before it sent what was expected' : 'connection failure';
    const reason = error === null ? without : describeError(error);
    this.outcome.onCheckEnded({ ok: false, kind: 'network', retriable: true, reason });
  }

  private succeed(): void {
    this.over = true;
    this.path.clock.tick();
    this.socket?.destroy();
    this.outcome.onCheckEnded({ ok: true });
  }
}
