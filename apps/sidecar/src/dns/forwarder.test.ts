// DNS: servers are asked one after another, within limits of time and number, and only answers to the very question count.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { decode, encode } from 'dns-packet';
import { afterEach, expect, test } from 'vitest';
import { Forwarder } from './forwarder.js';

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function server(onMessage: (message: Buffer, reply: (bytes: Uint8Array) => void) => void): Promise<number> {
  const socket = createSocket('udp4');
  sockets.push(socket);
  socket.on('message', (message: Buffer, peer: RemoteInfo) =>
    onMessage(message, (bytes) => socket.send(bytes, peer.port, peer.address)),
  );
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  return socket.address().port;
}

const QUESTION = encode({ type: 'query', id: 5, flags: 0x100, questions: [{ name: 'a.test', type: 'A' }] });

function answerTo(message: Buffer, data: string, change: { id?: number; name?: string; rcode?: number } = {}): Buffer {
  const { id = 0 } = decode(message);
  const name = change.name ?? 'a.test';
  return encode({
    type: 'response',
    id: change.id ?? id,
    flags: change.rcode ?? 0,
    questions: [{ name, type: 'A' }],
    answers: change.rcode === undefined ? [{ type: 'A', name, ttl: 1, data }] : [],
  });
}

const forwarder = (ports: readonly number[], more = {}) =>
  new Forwarder({ servers: () => ports.map((port) => ({ address: '127.0.0.1', port })), timeoutMs: 300, ...more });

test('the second server is asked where the first is silent, or cannot tell', async () => {
  const silent = await server(() => undefined);
  const failing = await server((message, reply) => reply(answerTo(message, '', { rcode: 2 })));
  const good = await server((message, reply) => reply(answerTo(message, '192.0.2.1')));
  for (const ports of [
    [silent, good],
    [failing, good],
  ]) {
    const asked = forwarder(ports);
    const answer = decode(await asked.ask(QUESTION, false));
    expect(answer).toMatchObject({ id: 5, answers: [{ data: '192.0.2.1' }] });
    expect(asked.counts).toMatchObject({ sent: 2, failed: 0 });
  }
});

test('answers with another id or to another question are not believed', async () => {
  const port = await server((message, reply) => {
    const { id = 0 } = decode(message);
    reply(answerTo(message, '203.0.113.1', { id: id ^ 1 }));
    reply(answerTo(message, '203.0.113.2', { name: 'b.test' }));
    reply(message);
    reply(Buffer.from('nonsense'));
    reply(answerTo(message, '192.0.2.1', { name: 'A.TEST' }));
  });
  expect(decode(await forwarder([port]).ask(QUESTION, false))).toMatchObject({ answers: [{ data: '192.0.2.1' }] });
});

test('nobody answers: it says who did not', async () => {
  const silent = await server(() => undefined);
  const asked = forwarder([silent], { rounds: 2, timeoutMs: 50 });
  await expect(asked.ask(QUESTION, false)).rejects.toThrow('127.0.0.1: no answer within 50 ms');
  expect(asked.counts).toMatchObject({ sent: 2, failed: 1 });
});

test('questions beyond the limit are refused at once', async () => {
  const silent = await server(() => undefined);
  const asked = forwarder([silent], { limit: 2, rounds: 1 });
  const first = [asked.ask(QUESTION, false), asked.ask(QUESTION, false)];
  await expect(asked.ask(QUESTION, false)).rejects.toThrow('2 questions are on their way already');
  expect(asked.counts.overflow).toBe(1);
  await Promise.allSettled(first);
  const later = asked.ask(QUESTION, false);
  await expect(later).rejects.toThrow('no answer within');
});
