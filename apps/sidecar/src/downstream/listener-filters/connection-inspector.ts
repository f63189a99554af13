// Downstream: holds a new connection until it is known whether it speaks TLS, and to whom, or else whether it speaks HTTP.

import { READ_BUFFER } from '@lateen/filters-wasm';
import type { DataPath } from '../../transport/data-path.js';
import type { ProxySocket, SocketOwner } from '../../transport/proxy-socket.js';
import { Timer, type TimerOwner } from '../../transport/timer-wheel.js';
import { MAX_CLIENT_HELLO_BYTES, parseClientHello } from '../client-hello.js';
import type { ConnectionFacts } from '../filter-chain-match.js';
import { readFirstLine } from './first-line.js';

export interface InspectionResult {
  /** The bytes read so far are handed over; they are valid until this returns. */
  onInspected(facts: ConnectionFacts, first: Uint8Array): void;
  /** The connection is closed; an empty reason means that the client left by itself. */
  onRefused(reason: string): void;
}

/** What a listener says of looking at its connections. */
export interface InspectionRules {
  /** Plain connections are looked at as well: do they speak HTTP? */
  readonly detectHttp: boolean;
  /** 0 = no limit. */
  readonly inspectTimeoutMs: number;
  /** What has sent too little in time is taken for plain bytes instead of being closed: its server may speak first. */
  readonly continueOnTimeout: boolean;
}

const FIRST_KEPT_BYTES = 1024;
const PLAIN_TEXT: ConnectionFacts = {
  destinationPort: 0,
  destinationAddress: '',
  serverName: '',
  transportProtocol: 'raw_buffer',
  applicationProtocols: [],
};

export class ConnectionInspector implements SocketOwner, TimerOwner {
  /** What came in more than one read; `keptBytes` of it are used. */
  private kept: Uint8Array = new Uint8Array(0);
  private keptBytes = 0;
  /** It is no TLS; how many bytes have been looked at since that is known. */
  private plain = false;
  private searched = 0;
  /** The outcome has been told. */
  private over = false;
  private readonly timer = new Timer(this, 0);

  constructor(
    private readonly path: DataPath,
    private readonly socket: ProxySocket,
    private readonly rules: InspectionRules,
    private readonly result: InspectionResult,
  ) {
    if (rules.inspectTimeoutMs > 0) path.wheel.schedule(this.timer, rules.inspectTimeoutMs);
  }

  onRead(length: number): void {
    this.inspect(this.path.core.bytes.subarray(READ_BUFFER, READ_BUFFER + length));
  }

  /** Looks at bytes that were read from the connection. */
  inspect(read: Uint8Array): void {
    const bytes = this.keptBytes === 0 ? read : this.keep(read);
    if (this.plain || this.isPlain(bytes)) this.inspectPlain(bytes);
    else this.keepAll(bytes);
  }

  /** False while it may become TLS, and where that has been decided. */
  private isPlain(bytes: Uint8Array): boolean {
    const outcome = parseClientHello(bytes);
    if (outcome.kind === 'malformed') this.refuse(outcome.reason);
    else if (outcome.kind === 'need-more' && bytes.length > MAX_CLIENT_HELLO_BYTES) {
      this.refuse('the ClientHello is too large');
    } else if (outcome.kind === 'hello') {
      const tls = { ...PLAIN_TEXT, transportProtocol: 'tls' as const, ...outcome.hello };
      this.finish(tls, bytes);
    }
    return outcome.kind === 'plaintext';
  }

  private inspectPlain(bytes: Uint8Array): void {
    this.plain = true;
    if (!this.rules.detectHttp) {
      this.finish(PLAIN_TEXT, bytes);
      return;
    }
    const line = readFirstLine(bytes, this.searched);
    this.searched = bytes.length;
    if (line.kind === 'need-more') this.keepAll(bytes);
    else if (line.kind === 'other') this.finish(PLAIN_TEXT, bytes);
    else this.finish({ ...PLAIN_TEXT, applicationProtocols: [line.protocol] }, bytes);
  }

  /** A client that has said all that it will can wait for an answer: what it said is for the server. */
  onEnd(): void {
    if (this.keptBytes === 0 || !this.rules.continueOnTimeout) {
      this.refuse('');
      return;
    }
    this.finish(PLAIN_TEXT, this.keptSoFar());
    this.socket.owner?.onEnd();
  }

  onClosed(): void {
    this.path.wheel.cancel(this.timer);
    this.result.onRefused('');
  }

  onTimer(): void {
    this.path.clock.tick();
    if (this.rules.continueOnTimeout) this.finish(PLAIN_TEXT, this.keptSoFar());
    else this.refuse('nothing or too little was sent in time');
  }

  private finish(facts: ConnectionFacts, bytes: Uint8Array): void {
    this.over = true;
    this.path.wheel.cancel(this.timer);
    this.result.onInspected(facts, bytes);
  }

  private refuse(reason: string): void {
    this.over = true;
    this.path.wheel.cancel(this.timer);
    this.socket.owner = null;
    this.socket.destroy();
    this.result.onRefused(reason);
  }

  /** For the next read; a first one alone was not kept yet. */
  private keepAll(bytes: Uint8Array): void {
    if (!this.over && this.keptBytes === 0) this.keep(bytes);
  }

  /** Adds bytes to what is kept; all of that. */
  private keep(bytes: Uint8Array): Uint8Array {
    const needed = this.keptBytes + bytes.length;
    if (needed > this.kept.length) {
      const larger = new Uint8Array(Math.max(needed, this.kept.length * 2, FIRST_KEPT_BYTES));
      larger.set(this.keptSoFar());
      this.kept = larger;
    }
    this.kept.set(bytes, this.keptBytes);
    this.keptBytes = needed;
    return this.keptSoFar();
  }

  private keptSoFar(): Uint8Array {
    return this.kept.subarray(0, this.keptBytes);
  }
}
