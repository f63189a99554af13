// Workers: one worker as the first process sees it: started, asked, told, ended. What it writes is handed on in whole lines.

import { type ChildProcess, fork, type SendHandle } from 'node:child_process';
import type { Readable } from 'node:stream';
import type { ClientHandle } from '../downstream/socket-listener.js';
import type { Ejection } from '../upstream/outliers/outlier-detector.js';
import { ConfigSender } from './config-delta.js';
import type { Observation } from './observation.js';
import { LineReader } from './worker-lines.js';
import type { Answers, FromWorker, Notice, Question, ToWorker, WorkerStart } from './worker-messages.js';

/** The first argument of a process that is a worker. */
export const WORKER_ARGUMENT = '--worker';

export interface WorkerOutput {
  /** Lines with their end. */
  readonly out: (line: string) => void;
  readonly error: (line: string) => void;
}

export interface WorkerOptions {
  /** The program to run: the one that runs now. */
  readonly program: string;
  readonly output: WorkerOutput;
  readonly onEjected: (ejection: Ejection) => void;
  /** It has so many connections, and has received so many of this process. */
  readonly onCount: (count: number, received: number) => void;
  /** It gives a connection to this process. */
  readonly onConnection: (key: string, connection: ClientHandle) => void;
}

export interface WorkerEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

/** The worker is not there any more, or does not answer. */
export class WorkerGone extends Error {
  constructor(readonly why: 'ended' | 'silent') {
    super(why === 'ended' ? 'it has ended' : 'it does not answer');
    this.name = 'WorkerGone';
  }
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class WorkerProcess {
  readonly sender = new ConfigSender();
  /** Keys of the sockets that it has. */
  sockets: ReadonlySet<string> = new Set();
  /** Connections that it has given, ever. */
  received = 0;
  readonly startedMs = performance.now();
  readonly ended: Promise<WorkerEnd>;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #gone = false;
  #observation: Observation | undefined;

  constructor(private readonly options: WorkerOptions) {
    this.#child = fork(options.program, [WORKER_ARGUMENT], {
      serialization: 'advanced',
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    const { stdout, stderr } = this.#child;
    const read = [readLines(stdout, options.output.out), readLines(stderr, options.output.error)];
    this.#child.on('message', (message, handle) => this.#take(message as FromWorker, handle));
    const exited = new Promise<WorkerEnd>((resolve) => {
      this.#child.once('exit', (code, signal) => resolve({ code, signal }));
      // It could not be started, killed or written to; where it runs, its end follows.
      this.#child.on('error', () => {
        if (this.#child.pid === undefined) resolve({ code: null, signal: null });
      });
    });
    // Node's own `close` does not come where this side ends the channel.
    this.ended = exited.then(async (end) => {
      this.#gone = true;
      for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(new WorkerGone('ended'));
      await Promise.all(read);
      return end;
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** What it has told of itself last. */
  get observation(): Observation | undefined {
    return this.#observation;
  }

  /** @throws WorkerGone where it ends, or does not answer in time; Error with what went wrong there */
  ask<Asked extends Question>(question: Asked, limitMs: number): Promise<Answers[Asked['kind']]> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const timer = setTimeout(() => this.#settle(id)?.reject(new WorkerGone('silent')), limitMs);
      // The worker answers with what belongs to the kind of question.
      this.#waiting.set(id, { resolve: resolve as Waiting['resolve'], reject, timer });
      if (!this.#send({ ...question, id })) this.#settle(id)?.reject(new WorkerGone('ended'));
    });
  }

  tell(notice: Notice, handle?: unknown): void {
    this.#send(notice, handle);
  }

  /** False where it cannot be given any more. */
  give(key: string, connection: ClientHandle): boolean {
    if (this.#gone || !this.#child.connected) return false;
    // Sent is sent: the descriptor is the other's as well by then.
    this.#child.send({ kind: 'connection', key }, connection as unknown as SendHandle, () => connection.close());
    return true;
  }

  start(start: WorkerStart, limitMs: number): Promise<undefined> {
    return this.ask({ kind: 'start', start }, limitMs);
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Has it end by itself; it has nothing to do any more. */
  release(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #send(message: ToWorker, handle?: unknown): boolean {
    if (this.#gone || !this.#child.connected) return false;
    // Node takes a raw TCP handle here as well; an error comes as an event, and then the end of the process.
    this.#child.send(message, handle as SendHandle | undefined, () => undefined);
    return true;
  }

  #take(message: FromWorker, handle: unknown): void {
    switch (message.kind) {
      case 'answer':
        if (isObservation(message.answer)) this.#observation = message.answer;
        this.#settle(message.id)?.resolve(message.answer);
        return;
      case 'failed':
        this.#settle(message.id)?.reject(new Error(message.reason));
        return;
      case 'observed':
        this.#observation = message.observation;
        return;
      case 'ejected':
        this.options.onEjected(message.ejection);
        return;
      case 'connections':
        this.options.onCount(message.count, message.received);
        return;
      case 'connection':
        this.received++;
        this.options.onConnection(message.key, handle as ClientHandle);
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    clearTimeout(waiting?.timer);
    return waiting;
  }
}

/** Resolves at its end. */
async function readLines(input: Readable | null, take: (line: string) => void): Promise<void> {
  if (input === null) return;
  const lines = new LineReader(take);
  input.on('data', (bytes: Buffer) => lines.write(bytes));
  // Also where reading fails: then it is torn down.
  await new Promise<void>((resolve) => input.on('error', () => undefined).once('close', resolve));
  lines.end();
}

function isObservation(answer: unknown): answer is Observation {
  return typeof answer === 'object' && answer !== null && 'stats' in answer;
}
