// Fuzzing, HTTP/1.1 through a proxy: reads the answers on a connection, whose framing must be without a fault.

import { connect, type Socket } from 'node:net';

export interface Answers {
  /** Status codes, interim ones left out. */
  readonly statuses: readonly number[];
  /** What could not be read as an answer. */
  readonly fault: string | undefined;
}

export interface ExchangeOptions {
  /** Of the requests that are to be answered, in order. */
  readonly methods: readonly string[];
  /** Of what is behind those and may be refused; left out: not HEAD, whose answer has no body. */
  readonly nextMethod?: string;
  readonly waitsForClose: boolean;
  readonly timeoutMs: number;
}

const HEAD = /^HTTP\/1\.1 (\d{3}) [^\r\n]*\r\n((?:[!-9;-~]+:[^\r\n\0]*\r\n)*)\r\n/;

/**
 * Sends bytes on a connection of its own and reads until the other side closes it. After `wanted` answers this side says
 * that it has no more to send, unless `waitsForClose`: then the other side must close of its own accord.
 * @returns undefined where it did not close in time
 */
export function exchange(
  port: number,
  pieces: readonly Buffer[],
  { methods, nextMethod = '', waitsForClose, timeoutMs }: ExchangeOptions,
): Promise<Answers | undefined> {
  return new Promise((resolve) => {
    let text = '';
    const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const timer = setTimeout(() => settle(undefined), timeoutMs);
    const settle = (answers: Answers | undefined) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answers);
    };
    const endWhenAnswered = (answered: number) => {
      if (!waitsForClose && answered >= methods.length && !socket.writableEnded) socket.end();
    };
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const { list, fault } = readStatuses(text, [...methods, nextMethod]);
      if (fault !== undefined) settle({ statuses: list, fault });
      else endWhenAnswered(list.length);
    });
    socket.on('error', () => {}); // a reset after the answer is an end, too
    socket.on('close', () => {
      const { list, fault, left } = readStatuses(text, [...methods, nextMethod]);
      const cut = left === '' ? undefined : `an answer is cut: ${JSON.stringify(left.slice(0, 80))}`;
      settle({ statuses: list, fault: fault ?? cut });
    });
    void send(socket, pieces).then(() => endWhenAnswered(0));
  });
}

async function send(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    if (socket.destroyed) return;
    socket.write(piece);
    if (pieces.length > 1) await new Promise(setImmediate);
  }
}

function readStatuses(
  text: string,
  methods: readonly string[],
): { list: number[]; fault: string | undefined; left: string } {
  const list: number[] = [];
  let rest = text;
  while (rest !== '') {
    const head = HEAD.exec(rest);
    if (head === null) {
      const whole = rest.includes('\r\n\r\n');
      return { list, fault: whole ? `not an answer: ${JSON.stringify(rest.slice(0, 200))}` : undefined, left: rest };
    }
    const status = Number(head[1]);
    const after = rest.slice(head[0].length);
    if (status === 100) {
      rest = after;
      continue;
    }
    const length = Number(/^content-length: (\d+)\r$/im.exec(head[2] ?? '')?.[1] ?? 0);
    const bodyLength = methods[list.length] === 'HEAD' ? 0 : length;
    if (after.length < bodyLength) return { list, fault: undefined, left: rest };
    list.push(status);
    rest = after.slice(bodyLength);
  }
  return { list, fault: undefined, left: '' };
}
