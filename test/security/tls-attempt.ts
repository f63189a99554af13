// Security, black box: one TLS handshake with a request on it, and a relay that passes single bytes.

import { type AddressInfo, connect, createServer as createTcp } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';

export interface Attempt {
  /** What the server answered, empty where it refused. */
  readonly text: string;
  readonly session: Buffer | undefined;
  readonly resumed: boolean;
}

/** A handshake and, if it seems to succeed, a request. */
export function attempt(port: number, options: ConnectionOptions): Promise<Attempt> {
  return new Promise((resolve) => {
    let text = '';
    let session: Buffer | undefined;
    let resumed = false;
    const socket = tlsConnect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    const end = () => {
      socket.destroy();
      resolve({ text, session, resumed });
    };
    socket.on('session', (each) => {
      session = each;
    });
    socket.on('secureConnect', () => {
      resumed = socket.isSessionReused();
      socket.write('GET /tls HTTP/1.1\r\nHost: a\r\n\r\n');
    });
    socket.on('data', (data: Buffer) => {
      text += data.toString('latin1');
      // The ticket of TLS 1.3 comes before the first answer.
      if (text.endsWith('ok')) end();
    });
    socket.on('error', end);
    socket.on('close', end);
  });
}

/** Passes bytes on one at a time toward the port, and back as they come. */
export async function splittingRelay(to: number): Promise<{ port: number; close: () => void }> {
  const server = createTcp((client) => {
    const target = connect({ port: to, host: '127.0.0.1', noDelay: true });
    target.pipe(client);
    client.on('error', () => target.destroy());
    target.on('error', () => client.destroy());
    client.on('data', async (chunk: Buffer) => {
      client.pause();
      for (const byte of chunk) {
        target.write(Buffer.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      client.resume();
    });
    client.on('close', () => target.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}
