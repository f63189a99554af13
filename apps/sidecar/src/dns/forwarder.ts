// DNS: asks the name servers of the pod what the mesh does not know, with questions and answers as they are.

import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { MessageReader, withLength } from './tcp-messages.js';

export interface NameServer {
  readonly address: string;
  readonly port: number;
}

export interface ForwarderOptions {
  readonly servers: () => readonly NameServer[];
  /** For one answer of one server; left out: 2 s. */
  readonly timeoutMs?: number;
  /** So often each of them is asked. */
  readonly rounds?: number;
  /** Questions that may be on their way; those beyond are refused. */
  readonly limit?: number;
}

const DEFAULT_TIMEOUT_MS = 2_000;
const DEFAULT_ROUNDS = 2;
const DEFAULT_LIMIT = 1_024;
const HEADER_BYTES = 12;
const RCODE_BITS = 0x0f;
const SERVER_FAILURE = 2;
const REFUSED = 5;

export class Forwarder {
  /** Questions that were sent, and those that nobody answered. */
  readonly counts = { sent: 0, failed: 0, overflow: 0 };
  private underWay = 0;

  constructor(private readonly options: ForwarderOptions) {}

  /**
   * The first useful answer, under the question's id. Servers are asked in their order, each with a limit of time.
   *
   * @param stream over TCP, as the question came
   * @throws Error where nobody has answered
   */
  async ask(question: Uint8Array, stream: boolean): Promise<Buffer> {
    const { servers, rounds = DEFAULT_ROUNDS, timeoutMs = DEFAULT_TIMEOUT_MS, limit = DEFAULT_LIMIT } = this.options;
    if (this.underWay >= limit) {
      this.counts.overflow++;
      throw new Error(`${limit} questions are on their way already`);
    }
    this.underWay++;
    let last: Buffer | undefined;
    const reasons = new Set<string>();
    try {
      for (let round = 0; round < rounds; round++) {
        for (const server of servers()) {
          this.counts.sent++;
          try {
            const answer = await (stream ? askByTcp : askByUdp)(server, question, timeoutMs);
            const rcode = answer.readUInt16BE(2) & RCODE_BITS;
            if (rcode !== SERVER_FAILURE && rcode !== REFUSED) return answer;
            // Another server may know more; where none does, this is what there is to say.
            last = answer;
          } catch (error) {
            reasons.add(`${server.address}: ${(error as Error).message}`);
          }
        }
        if (last !== undefined) return last;
      }
      throw new Error(reasons.size === 0 ? 'there is no name server in resolv.conf' : [...reasons].join('; '));
    } catch (error) {
      this.counts.failed++;
      throw error;
    } finally {
      this.underWay--;
    }
  }
}

/** With an id that nobody can guess, from a port of its own. */
function disguised(question: Uint8Array): { readonly id: number; readonly bytes: Buffer } {
  const bytes = Buffer.from(question);
  const id = randomInt(0x10000);
  bytes.writeUInt16BE(id, 0);
  return { id, bytes };
}

/** It is an answer to this very question. Its id becomes the client's. */
function accepted(answer: Buffer, id: number, question: Uint8Array): Buffer | undefined {
  if (answer.length < HEADER_BYTES || answer.readUInt16BE(0) !== id || (answer[2]! & 0x80) === 0) return undefined;
  if (answer.readUInt16BE(4) === 1 && !sameQuestion(answer, question)) return undefined;
  const given = Buffer.from(answer);
  given.set(question.subarray(0, 2));
  return given;
}

/** Servers repeat the question; letters may have changed their case. */
function sameQuestion(answer: Uint8Array, question: Uint8Array): boolean {
  const lower = (byte: number) => (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
  let at = HEADER_BYTES;
  while (at < question.length && question[at] !== 0) at += question[at]! + 1;
  const end = at + 5;
  if (answer.length < end) return false;
  for (let index = HEADER_BYTES; index < end; index++) {
    if (lower(answer[index]!) !== lower(question[index] ?? 0)) return false;
  }
  return true;
}

function askByUdp({ address, port }: NameServer, question: Uint8Array, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { id, bytes } = disguised(question);
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.removeAllListeners();
      socket.on('error', () => undefined);
      socket.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(new Error(`no answer within ${timeoutMs} ms`))), timeoutMs);
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('message', (message) => {
      const answer = accepted(message, id, question);
      if (answer !== undefined) finish(() => resolve(answer));
    });
    // Connected, it hears nobody else, and learns at once where nobody is there.
    socket.connect(port, address, () => socket.send(bytes));
  });
}

function askByTcp({ address, port }: NameServer, question: Uint8Array, timeoutMs: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const { id, bytes } = disguised(question);
    const socket = connect({ host: address, port });
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(new Error(`no answer within ${timeoutMs} ms`))), timeoutMs);
    const reader = new MessageReader((message) => {
      const answer = accepted(Buffer.from(message), id, question);
      if (answer !== undefined) finish(() => resolve(answer));
    });
    socket.on('data', (chunk) => reader.add(chunk));
    socket.on('error', (error) => finish(() => reject(error)));
    socket.on('close', () => finish(() => reject(new Error('the connection was closed'))));
    socket.write(withLength(bytes));
  });
}
