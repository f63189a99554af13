// Conformance, step 5: a connection of a client: with a PROXY header as a balancer before it would write it, and in TLS.

import { connect, type Socket } from 'node:net';
import { connect as connectTls, type SecureVersion } from 'node:tls';
import type { SentTls, TlsFacts } from '../case-tls.js';
import type { SocketAddress } from './case-pilot.js';
import type { CaseCertificates } from './certificates.js';
import { proxyHeaderBytes } from './proxy-headers.js';
import { factsOf } from './unwrap.js';

/** How a connection begins. */
export interface Beginning {
  readonly tls: SentTls | undefined;
  /** `V1 192.0.2.7`; undefined: none. */
  readonly proxyHeader: string | undefined;
  /** HOST:PORT that the proxy is asked for by CONNECT. */
  readonly asks?: string | undefined;
}

export interface ClientConnection {
  readonly socket: Socket;
  readonly tls: TlsFacts | undefined;
  /** By which the access log knows it: the client's address and port. */
  readonly client: string;
}

/** Opens a connection, to where what it carries begins. @throws Error where it is refused */
export async function openConnection(
  server: SocketAddress,
  { tls, proxyHeader, asks }: Beginning,
  certificates: CaseCertificates,
): Promise<ClientConnection> {
  const plain = connect({ ...server, allowHalfOpen: true });
  await settled(plain, 'connect');
  plain.setNoDelay();
  const port = plain.localPort ?? 0;
  const client = `${proxyHeader?.split(' ')[1] ?? plain.localAddress}:${port}`;
  if (proxyHeader !== undefined) plain.write(proxyHeaderBytes(proxyHeader, port, server));
  if (asks !== undefined) await ask(plain, asks, client);
  if (tls === undefined) return { socket: plain, tls: undefined, client };
  const { sni, alpn, minVersion, maxVersion, ciphers, curves, certificate } = tls;
  const own = certificate === undefined ? undefined : certificates.pair(certificate);
  const secure = connectTls({
    socket: plain,
    rejectUnauthorized: false,
    ...(sni === '' ? {} : { servername: sni }),
    ...(own === undefined ? {} : { cert: own.certPem, key: own.keyPem }),
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    ...(minVersion === undefined ? {} : { minVersion: minVersion as SecureVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion: maxVersion as SecureVersion }),
    ...(ciphers === undefined ? {} : { ciphers }),
    ...(curves === undefined ? {} : { ecdhCurve: curves }),
  });
  await settled(secure, 'secureConnect');
  return { socket: secure, tls: factsOf(secure, certificates), client };
}

/** @throws TunnelRefusedError */
async function ask(socket: Socket, target: string, client: string): Promise<void> {
  socket.write(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`);
  let head = '';
  while (!head.includes('\r\n\r\n')) {
    await settled(socket, 'readable');
    // Byte by byte: what stands behind the head is the tunnel's.
    for (let byte = socket.read(1); byte !== null; byte = socket.read(1)) {
      head += byte.toString('latin1');
      if (head.endsWith('\r\n\r\n')) break;
    }
  }
  if (!head.startsWith('HTTP/1.1 200 ')) throw new TunnelRefusedError(Number(head.split(' ')[1]), client);
}

/** The answer to CONNECT is another than 200. */
export class TunnelRefusedError extends Error {
  constructor(
    readonly status: number,
    readonly client: string,
  ) {
    super(`CONNECT is answered ${status}`);
  }
}

function settled(socket: Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error?: Error) => reject(error ?? new Error('closed'));
    socket.once('error', refuse);
    socket.once('close', () => refuse());
    // Where TLS is refused some servers just end their side.
    socket.once('end', () => refuse());
    socket.once(event, () => resolve());
  });
}
