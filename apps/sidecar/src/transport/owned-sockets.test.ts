// Both ways of driving sockets, Node's native handles and its streams: nothing lost, ends and resets told, plain and TLS.

import { connect, type Server, type Socket } from 'node:net';
import {
  type ConnectionOptions,
  connect as connectTls,
  createServer as createTlsServer,
  type TLSSocket,
} from 'node:tls';
import { createCore, READ_BUFFER } from '@lateen/filters-wasm';
import { TestAuthority } from '@lateen/identity/testing';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventually } from '../testing/raw-peers.js';
import type { OwnedSocket, SharedRead, SocketOwner } from './proxy-socket.js';

const core = createCore();
const TOTAL_BYTES = 6_000_000;
let identity: { cert: string; key: string };

beforeAll(async () => {
  const authority = await TestAuthority.create();
  const issued = await authority.issue({ namespace: 'default', serviceAccount: 'test', ttlSeconds: 3600 });
  identity = { cert: issued.certChainPem, key: issued.keyPem };
});

/** Bytes of which each says where it stands. */
function pattern(length: number, from = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let index = 0; index < length; index++) bytes[index] = ((from + index) * 31 + ((from + index) >> 8)) & 255;
  return bytes;
}

class Recorder implements SocketOwner {
  readonly chunks: Buffer[] = [];
  ends = 0;
  closed: (Error | null)[] = [];
  onRead(length: number): void {
    this.chunks.push(Buffer.from(core.bytes.subarray(READ_BUFFER, READ_BUFFER + length)));
  }
  onEnd(): void {
    this.ends++;
  }
  onClosed(error: Error | null): void {
    this.closed.push(error);
  }
  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }
}

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

describe.each(['handles', 'streams'])('sockets driven through %s', (kind) => {
  let read: SharedRead;
  let SocketListener: typeof import('../downstream/socket-listener.js').SocketListener;
  let keepSocket: typeof import('./keep-socket.js').keepSocket;

  beforeAll(async () => {
    vi.stubEnv('LATEEN_SOCKETS', kind === 'streams' ? 'streams' : '');
    vi.resetModules();
    ({ SocketListener } = await import('../downstream/socket-listener.js'));
    ({ keepSocket } = await import('./keep-socket.js'));
    const { createSharedRead } = await import('./proxy-socket.js');
    const { streamInternals } = await import('./stream-handles.js');
    vi.unstubAllEnvs();
    expect(streamInternals === undefined).toBe(kind === 'streams');
    read = createSharedRead(core.bytes);
  });

  /** An accepted socket with its peer, a Node socket. */
  async function accepted(): Promise<{ socket: OwnedSocket; owner: Recorder; peer: Socket }> {
    const listener = await SocketListener.bind({ address: '127.0.0.1', port: 0 }, 16, read);
    const owner = new Recorder();
    const socket = new Promise<OwnedSocket>((resolve) => {
      listener.serve({
        accept: (each) => {
          each.owner = owner;
          resolve(each);
        },
        onAcceptError: (error) => {
          throw error;
        },
      });
    });
    const peer = connect({ port: listener.bound.port, host: '127.0.0.1', allowHalfOpen: true });
    peer.on('error', () => {});
    cleanups.push(
      () => listener.close(),
      () => peer.destroy(),
    );
    await new Promise<void>((resolve) => peer.once('connect', resolve));
    return { socket: await socket, owner, peer };
  }

  /** A socket with TLS on the connecting side, and the server's end of it. */
  async function secured(): Promise<{ socket: OwnedSocket; owner: Recorder; peer: Socket }> {
    const server: Server = createTlsServer({ ...identity, allowHalfOpen: true });
    const peer = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const options = { port, host: '127.0.0.1', rejectUnauthorized: false, allowHalfOpen: true };
    const keeper = connectTls(options as ConnectionOptions);
    const { socket, begin } = keepSocket(keeper, read, true);
    const owner = new Recorder();
    socket.owner = owner;
    await new Promise<void>((resolve) => {
      keeper.once('secureConnect', () => {
        begin();
        resolve();
      });
    });
    const other = await peer;
    other.on('error', () => {});
    cleanups.push(
      () => server.close(),
      () => other.destroy(),
      () => socket.destroy(),
    );
    return { socket, owner, peer: other };
  }

  it.each([
    ['plain', accepted],
    ['TLS', secured],
  ])('carry everything both ways in pieces of any size, over %s', async (_name, open) => {
    const { socket, owner, peer } = await open();
    const received: Buffer[] = [];
    peer.on('data', (chunk: Buffer) => received.push(chunk));
    let pending = 0;
    socket.watcher = {
      onWritten: (writes) => {
        pending -= writes;
      },
    };
    const sizes = [1, 70_000, 3, 16_385, 500, 131_072];
    for (let sent = 0, turn = 0; sent < TOTAL_BYTES; turn++) {
      const size = Math.min(sizes[turn % sizes.length]!, TOTAL_BYTES - sent);
      if (!socket.write(pattern(size, sent))) pending++;
      peer.write(pattern(size, sent));
      sent += size;
      if (turn % 5 === 0) {
        socket.pause();
        await new Promise((resolve) => setImmediate(resolve));
        socket.resume();
      }
    }
    await eventually(
      () => received.reduce((sum, chunk) => sum + chunk.length, 0) === TOTAL_BYTES,
      'all bytes at the peer',
    );
    await eventually(() => owner.length === TOTAL_BYTES, 'all bytes of the peer');
    await eventually(() => pending === 0 && socket.unwrittenBytes === 0, 'all writes complete');
    const expected = pattern(TOTAL_BYTES);
    expect(Buffer.concat(received).equals(expected)).toBe(true);
    expect(Buffer.concat(owner.chunks).equals(expected)).toBe(true);
  });

  it.each([
    ['plain', accepted],
    ['TLS', secured],
  ])('tell each end, and close when both sides have ended, over %s', async (_name, open) => {
    const { socket, owner, peer } = await open();
    const received: Buffer[] = [];
    peer.on('data', (chunk: Buffer) => received.push(chunk));
    let peerEnded = false;
    peer.on('end', () => {
      peerEnded = true;
    });
    let done = false;
    const body = pattern(2_000_000);
    socket.write(body);
    socket.write(Buffer.from('last'));
    socket.end(() => {
      done = true;
    });
    await eventually(() => done && peerEnded, 'the end at the peer');
    expect(Buffer.concat(received).equals(Buffer.concat([body, Buffer.from('last')]))).toBe(true);
    expect(owner.closed).toEqual([]);
    peer.end('bye');
    await eventually(() => owner.closed.length === 1, 'the close');
    expect(owner.ends).toBe(1);
    expect(Buffer.concat(owner.chunks).toString()).toBe('bye');
    expect(owner.closed).toEqual([null]);
  });

  it('tell a reset of the peer, once, with its code', async () => {
    const { owner, peer } = await accepted();
    peer.resetAndDestroy();
    await eventually(() => owner.closed.length > 0, 'the close');
    expect(owner.closed.map((error) => (error as NodeJS.ErrnoException | null)?.code)).toEqual(['ECONNRESET']);
  });

  it('reset their peer where they are asked to, and tell before they return', async () => {
    const { socket, owner, peer } = await accepted();
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => peer.once('error', resolve));
    socket.resetAndDestroy();
    expect(owner.closed).toEqual([null]);
    expect((await failed).code).toBe('ECONNRESET');
    expect(socket.destroyed).toBe(true);
    socket.destroy();
    expect(owner.closed).toHaveLength(1);
  });

  it('know their addresses, and deliver nothing before they are resumed or while paused', async () => {
    const { socket, owner, peer } = await accepted();
    expect([socket.remoteAddress, socket.remotePort]).toEqual([peer.localAddress, peer.localPort]);
    expect([socket.localAddress, socket.localPort]).toEqual([peer.remoteAddress, peer.remotePort]);
    socket.pause();
    peer.write('held');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(owner.length).toBe(0);
    socket.resume();
    await eventually(() => owner.length === 4, 'the held bytes');
  });
});
