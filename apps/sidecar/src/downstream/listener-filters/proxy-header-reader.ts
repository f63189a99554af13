// Downstream, PROXY protocol: holds a new connection until its header is read, and hands on what follows.

import { READ_BUFFER } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { ProxySocket, SocketOwner } from '../../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import { type PresentedAddresses, parseProxyHeader } from './proxy-header.js';

export interface ProxyHeaderRules {
  /** A connection without a header is served as it is instead of being closed. */
  readonly optional: boolean;
  readonly refusedVersions: ReadonlySet<1 | 2>;
}

export interface ProxyHeaderOutcome {
  /** `rest` are bytes that came behind the header; valid until this returns. */
  onHeader(addresses: PresentedAddresses | undefined, rest: Uint8Array): void;
  /** The connection is closed; an empty reason means that the client left by itself. */
  onRefused(reason: string): void;
}

const NOTHING = new Uint8Array(0);

export class ProxyHeaderReader implements SocketOwner, TimerOwner {
  private gathered: Uint8Array = NOTHING;
  /** Bytes of the header that are still to come and that nobody needs. */
  private toSkip = 0;
  private addresses: PresentedAddresses | undefined;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly socket: ProxySocket,
    private readonly rules: ProxyHeaderRules,
    timeoutMs: number,
    private readonly outcome: ProxyHeaderOutcome,
  ) {
    if (timeoutMs > 0) path.wheel.schedule(this.timer, timeoutMs);
  }

  onRead(length: number): void {
    const read = this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length);
    if (this.toSkip > 0) {
      this.skip(read);
      return;
    }
    const bytes = this.gathered.length === 0 ? read : Buffer.concat([this.gathered, read]);
    const result = parseProxyHeader(bytes);
    switch (result.kind) {
      case 'need-more':
        this.gathered = Uint8Array.from(bytes);
        return;
      case 'none':
        if (this.rules.optional) this.finish(undefined, bytes);
        else this.refuse('the connection has no PROXY protocol header');
        return;
      case 'malformed':
        this.refuse(result.reason);
        return;
      case 'header':
        if (this.rules.refusedVersions.has(result.version)) {
          this.refuse(`version ${result.version} of the PROXY protocol is not taken here`);
          return;
        }
        this.addresses = result.addresses;
        this.toSkip = result.length;
        this.skip(bytes);
    }
  }

  onEnd(): void {
    this.refuse('');
  }

  onClosed(): void {
    this.path.wheel.cancel(this.timer);
    this.outcome.onRefused('');
  }

  onTimer(): void {
    this.path.clock.tick();
    if (this.rules.optional && this.toSkip === 0) this.finish(undefined, this.gathered);
    else this.refuse('no PROXY protocol header was sent in time');
  }

  private skip(bytes: Uint8Array): void {
    const skipped = Math.min(this.toSkip, bytes.length);
    this.toSkip -= skipped;
    if (this.toSkip === 0) this.finish(this.addresses, bytes.subarray(skipped));
  }

  private finish(addresses: PresentedAddresses | undefined, rest: Uint8Array): void {
    this.path.wheel.cancel(this.timer);
    this.outcome.onHeader(addresses, rest);
  }

  private refuse(reason: string): void {
    this.path.wheel.cancel(this.timer);
    this.socket.owner = null;
    this.socket.destroy();
    this.outcome.onRefused(reason);
  }
}
