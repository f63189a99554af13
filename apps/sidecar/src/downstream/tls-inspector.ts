// Downstream: holds a new connection until it is known whether it speaks TLS, and to whom.

import { READ_BUFFER } from '@lateen/filters-wasm';
import type { DataPath } from '../transport/data-path.js';
import type { ProxySocket, SocketOwner } from '../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../transport/timer-wheel.js';
import { MAX_CLIENT_HELLO_BYTES, parseClientHello } from './client-hello.js';
import type { ConnectionFacts } from './filter-chain-match.js';

export interface InspectionResult {
  /** The bytes read so far are handed over; they are valid until this returns. */
  onInspected(facts: ConnectionFacts, first: Uint8Array): void;
  /** The connection is closed; an empty reason means that the client left by itself. */
  onRefused(reason: string): void;
}

const NOTHING = new Uint8Array(0);
const PLAIN_TEXT: ConnectionFacts = {
  destinationPort: 0,
  destinationAddress: '',
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};

export class TlsInspector implements SocketOwner, TimerOwner {
  private gathered: Uint8Array = NOTHING;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly socket: ProxySocket,
    private readonly limit: { readonly inspectTimeoutMs: number; readonly continueOnTimeout: boolean },
    private readonly result: InspectionResult,
  ) {
    if (limit.inspectTimeoutMs > 0) path.wheel.schedule(this.timer, limit.inspectTimeoutMs);
  }

  onRead(length: number): void {
    this.inspect(this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length));
  }

  /** Looks at bytes that were read from the connection. */
  inspect(read: Uint8Array): void {
    const bytes = this.gathered.length === 0 ? read : Buffer.concat([this.gathered, read]);
    const outcome = parseClientHello(bytes);
    switch (outcome.kind) {
      case 'need-more':
        if (bytes.length > MAX_CLIENT_HELLO_BYTES) this.refuse('the ClientHello is too large');
        else this.gathered = Uint8Array.from(bytes);
        return;
      case 'malformed':
        this.refuse(outcome.reason);
        return;
      case 'plaintext':
        this.path.wheel.cancel(this.timer);
        this.result.onInspected(PLAIN_TEXT, bytes);
        return;
      case 'hello':
        this.path.wheel.cancel(this.timer);
        this.result.onInspected(
          { destinationPort: 0, destinationAddress: '', transportProtocol: 'tls', ...outcome.hello },
          bytes,
        );
    }
  }

  onEnd(): void {
    this.refuse('');
  }

  onClosed(): void {
    this.path.wheel.cancel(this.timer);
    this.result.onRefused('');
  }

  onTimer(): void {
    this.path.clock.tick();
    if (this.limit.continueOnTimeout) this.result.onInspected(PLAIN_TEXT, this.gathered);
    else this.refuse('nothing or too little was sent in time');
  }

  private refuse(reason: string): void {
    this.path.wheel.cancel(this.timer);
    this.socket.owner = null;
    this.socket.destroy();
    this.result.onRefused(reason);
  }
}
