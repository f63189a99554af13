// Tests: a client and an upstream that speak bytes, so that a test says exactly what is on the wire.

import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** Long enough for a machine on which many tests run at once; a transfer may take longer as long as it goes on. */
const DEADLINE_MS = 30_000;

/** A connection whose received bytes are gathered as Latin-1 text. */
export class RawConnection {
  received = '';
  ended = false;
  closed = false;
  error: Error | undefined;
  private readonly waiters = new Set<() => void>();

  constructor(readonly socket: Duplex) {
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.toString('latin1');
      this.wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.wake();
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.closed = true;
      this.ended = true;
      this.wake();
    });
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  /** Waits until something is true of what was received. @throws Error where nothing more comes */
  async until(condition: (connection: RawConnection) => boolean, what = 'the expected bytes'): Promise<void> {
    let deadline = Date.now() + DEADLINE_MS;
    for (let before = this.received.length; !condition(this); ) {
      if (this.received.length !== before) {
        before = this.received.length;
        deadline = Date.now() + DEADLINE_MS;
      }
      if (Date.now() > deadline) {
        throw new Error(`waited in vain for ${what}; received ${JSON.stringify(this.received.slice(0, 2000))}`);
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer);
          this.waiters.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, 100);
        this.waiters.add(wake);
      });
    }
  }

  async untilText(text: string): Promise<void> {
    await this.until(({ received }) => received.includes(text), JSON.stringify(text));
  }

  async untilEnd(): Promise<void> {
    await this.until(({ ended }) => ended, 'the end of the connection');
  }

  /** Takes one whole message with Content-Length (or none) off the received text. */
  async message(): Promise<{ head: string; body: string }> {
    await this.until(({ received }) => messageLength(received) >= 0, 'a whole message');
    const length = messageLength(this.received);
    const text = this.received.slice(0, length);
    this.received = this.received.slice(length);
    const split = text.indexOf('\r\n\r\n') + 4;
    return { head: text.slice(0, split), body: text.slice(split) };
  }

  private wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }
}

/** Length of the first message in a text, -1 while it is incomplete. */
function messageLength(text: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return -1;
  const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, head + 2));
  if (/\r\ntransfer-encoding: *chunked/i.test(text.slice(0, head + 2))) {
    const end = text.indexOf('0\r\n\r\n', head + 4);
    return end < 0 ? -1 : end + 5;
  }
  const total = head + 4 + (length === null ? 0 : Number(length[1]));
  return text.length >= total ? total : -1;
}

export async function connectRaw(port: number, host = '127.0.0.1'): Promise<RawConnection> {
  const socket = connect({ port, host, allowHalfOpen: true });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return new RawConnection(socket);
}

/** An upstream: hands out its connections in the order in which they come. */
export class RawUpstream {
  readonly connections: RawConnection[] = [];
  private taken = 0;

  private constructor(
    private readonly server: Server,
    readonly port: number,
  ) {}

  static async start(port = 0): Promise<RawUpstream> {
    const server = createServer({ allowHalfOpen: true });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const { port: bound } = server.address() as { port: number };
    const upstream = new RawUpstream(server, bound);
    server.on('connection', (socket: Socket) => upstream.connections.push(new RawConnection(socket)));
    return upstream;
  }

  /** The next connection that nobody has taken yet. */
  async next(): Promise<RawConnection> {
    const deadline = Date.now() + DEADLINE_MS;
    while (this.connections.length <= this.taken) {
      if (Date.now() > deadline) throw new Error('the proxy opened no (further) connection');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return this.connections[this.taken++]!;
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Waits for a condition that no event announces. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
