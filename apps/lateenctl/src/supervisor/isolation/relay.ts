// Isolation: the supervisor's end of a relay, a process of ours in a network namespace.

import { type ChildProcess, spawn } from 'node:child_process';
import { createServer, type Server, type Socket } from 'node:net';
import type { RelayAnswer, RelayOrder, Target } from './relay-messages.js';

/** A part of an order that has an id of its own. */
type OrderOf<Kind extends RelayOrder['kind']> = Omit<Extract<RelayOrder, { kind: Kind }>, 'id'>;

export interface RelayOptions {
  /** What runs a program in the namespace. */
  readonly enter: readonly string[];
  readonly program: string;
  /** It ended without being asked to. */
  readonly onLost: () => void;
  /** Nobody is connected any more, and no order is on its way. */
  readonly onIdle?: () => void;
}

export class Relay {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: RelayAnswer | undefined, handle: unknown) => void>();
  #last = 0;
  #closing = false;

  constructor({ enter, program, onLost, onIdle }: RelayOptions) {
    const [command = '', ...args] = [...enter, process.execPath, '--max-old-space-size=64', program];
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      env: { PATH: process.env.PATH ?? '' },
      detached: true,
    });
    this.#child.on('message', (answer: RelayAnswer, handle: unknown) => {
      if (answer.kind !== 'idle') return this.#answered(answer.id, answer, handle);
      if (answer.last === this.#last) onIdle?.();
    });
    let ended = false;
    const end = () => {
      if (ended) return;
      ended = true;
      for (const id of [...this.#waiting.keys()]) this.#answered(id, undefined, undefined);
      if (!this.#closing) onLost();
    };
    this.#child.once('exit', end);
    this.#child.once('error', end);
  }

  /**
   * Listens on the host, for connections into the namespace.
   *
   * @returns what ends it
   * @throws Error where the address cannot be listened on
   */
  async forward(at: Target, target: Target): Promise<() => void> {
    const server = await listening(at);
    try {
      const id = await this.#order({ kind: 'forward', target }, server);
      return () => {
        if (this.#child.connected) this.#child.send({ kind: 'stop', id } satisfies RelayOrder);
      };
    } finally {
      server.close(); // the relay has it
    }
  }

  /** Listens in the namespace, for the host. @throws Error where the address cannot be listened on */
  async listen(target: Target): Promise<Server> {
    let server: Server | undefined;
    await this.#order({ kind: 'listen', target }, undefined, (handle) => {
      server = handle as Server;
    });
    return server!;
  }

  /** Leads a connection on into the namespace; nothing may have been read of it. */
  connect(socket: Socket, target: Target): void {
    const id = ++this.#last;
    this.#child.send({ kind: 'connect', id, target } satisfies RelayOrder, socket, {}, (error) => {
      if (error !== null) socket.destroy();
    });
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    if (this.#child.connected) this.#child.disconnect();
    await gone;
  }

  /** @returns the order's id, once it is followed */
  #order(
    order: OrderOf<'forward'> | OrderOf<'listen'>,
    server: Server | undefined,
    take: (handle: unknown) => void = () => {},
  ): Promise<number> {
    const id = ++this.#last;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (answer, handle) => {
        if (answer === undefined) return reject(new Error('the relay into the network of the pods has ended'));
        if (answer.kind === 'failed') return reject(new Error(answer.reason));
        take(handle);
        resolve(id);
      });
      this.#child.send({ ...order, id } as RelayOrder, server, {}, (error) => {
        if (error !== null) this.#answered(id, { kind: 'failed', id, reason: error.message }, undefined);
      });
    });
  }

  #answered(id: number, answer: RelayAnswer | undefined, handle: unknown): void {
    const answered = this.#waiting.get(id);
    this.#waiting.delete(id);
    answered?.(answer, handle);
  }
}

function listening({ host, port }: Target): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.resetAndDestroy());
    server.once('error', reject);
    server.listen({ host, port, exclusive: true }, () => resolve(server));
  });
}
