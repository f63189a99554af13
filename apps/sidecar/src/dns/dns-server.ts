// DNS: the sockets on which the application's questions arrive, UDP and TCP, on loopback of both families.

import { createSocket, type Socket as DatagramSocket, type RemoteInfo } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import { StartError } from '../start-error.js';
import { MessageReader, withLength } from './tcp-messages.js';

/** Answers one message; undefined: nothing is said. Never rejects. */
export type DnsHandler = (message: Uint8Array, stream: boolean) => Promise<Uint8Array | undefined>;

/** Of TCP. */
const MOST_CONNECTIONS = 256;
const IDLE_MS = 10_000;
/** Of one connection, which may ask before it has been answered. */
const MOST_UNDER_WAY = 64;

export interface DnsServer {
  readonly addresses: readonly string[];
  close(): Promise<void>;
}

/** @throws StartError where the first address cannot be bound; the others are left out where this host has none such */
export async function startDnsServer(
  addresses: readonly string[],
  port: number,
  handle: DnsHandler,
): Promise<DnsServer> {
  const bound: string[] = [];
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(closers.map((each) => each()));
  };
  for (const address of addresses) {
    try {
      const udp = await listenUdp(address, port, handle);
      closers.push(() => new Promise((resolve) => udp.close(() => resolve())));
      const tcp = await listenTcp(address, udp.address().port, handle);
      closers.push(tcp);
      bound.push(`${address} ${udp.address().port}`);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (bound.length > 0 && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) continue;
      await close();
      throw new StartError(`cannot answer DNS on ${address} port ${port}: ${message}`);
    }
  }
  return { addresses: bound, close };
}

function listenUdp(address: string, port: number, handle: DnsHandler): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    let closed = false;
    const socket = createSocket(address.includes(':') ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
    socket.once('error', reject);
    socket.once('close', () => {
      closed = true;
    });
    socket.on('message', (message: Buffer, peer: RemoteInfo) => {
      void handle(message, false).then((answer) => {
        if (answer !== undefined && !closed) socket.send(answer, peer.port, peer.address, () => undefined);
      });
    });
    socket.bind({ address, port }, () => {
      socket.off('error', reject);
      socket.on('error', () => undefined);
      resolve(socket);
    });
  });
}

function listenTcp(address: string, port: number, handle: DnsHandler): Promise<() => Promise<void>> {
  const open = new Set<Socket>();
  const server: Server = createServer((socket) => {
    if (open.size >= MOST_CONNECTIONS) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.setNoDelay(true);
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.on('error', () => undefined);
    socket.on('close', () => open.delete(socket));
    let underWay = 0;
    const reader = new MessageReader((message) => {
      if (++underWay >= MOST_UNDER_WAY) socket.pause();
      void handle(Buffer.from(message), true).then((answer) => {
        underWay--;
        if (socket.destroyed) return;
        if (socket.isPaused()) socket.resume();
        if (answer !== undefined) socket.write(withLength(answer));
      });
    });
    socket.on('data', (chunk) => reader.add(chunk));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, ipv6Only: true }, () => {
      server.off('error', reject);
      server.on('error', () => undefined);
      resolve(
        () =>
          new Promise((done) => {
            server.close(() => done());
            for (const socket of open) socket.destroy();
          }),
      );
    });
  });
}
