// Conformance: takes PROXY header and TLS off a connection that a pod has accepted, and says what they told of the client.

import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureVersion, type Server, type TLSSocket } from 'node:tls';
import type { ServedTls, TlsFacts } from '../case-tls.js';
import type { CaseCertificates } from './certificates.js';
import { readProxyHeader } from './proxy-headers.js';

/** What came before the first byte of the application. */
export interface ConnectionFacts {
  /** Undefined: plain text. */
  readonly tls: TlsFacts | undefined;
  /** `V1 192.0.2.7`; undefined: none. */
  readonly proxyHeader: string | undefined;
}

export interface WrappingOfPod {
  readonly tls: ServedTls | undefined;
  readonly takesProxyHeaders: boolean;
}

const HANDSHAKE = 0x16;

type Serve = (socket: Socket, facts: ConnectionFacts) => void;

/** A listener for connections that hands on what is inside of them, not read yet. */
export function unwrapping(
  { tls, takesProxyHeaders }: WrappingOfPod,
  certificates: CaseCertificates,
  serve: Serve,
): (socket: Socket) => void {
  const headers = new Map<number | undefined, string>();
  const secure =
    tls &&
    tlsServer(tls, certificates, (socket) => {
      const facts = factsOf(socket, certificates);
      serve(socket, { tls: facts, proxyHeader: headers.get(socket.remotePort) });
    });
  const next = (socket: Socket, proxyHeader: string | undefined) =>
    onFirst(socket, (first) => {
      if (takesProxyHeaders && proxyHeader === undefined) {
        const header = readProxyHeader(first);
        if (header !== undefined) {
          headers.set(socket.remotePort, header.text);
          if (first.length > header.length) socket.unshift(first.subarray(header.length));
          next(socket, header.text);
          return;
        }
      }
      socket.unshift(first);
      if (secure !== undefined && first[0] === HANDSHAKE) secure.emit('connection', socket);
      else serve(socket, { tls: undefined, proxyHeader });
    });
  return (socket) => {
    socket.on('error', () => socket.destroy());
    next(socket, undefined);
  };
}

function onFirst(socket: Socket, take: (first: Buffer) => void): void {
  const read = () => {
    const first = socket.read() as Buffer | null;
    if (first !== null) take(first);
    else socket.end();
  };
  if (socket.readableLength > 0) read();
  else socket.once('readable', read);
}

function tlsServer(tls: ServedTls, certificates: CaseCertificates, serve: (socket: TLSSocket) => void): Server {
  const { certPem: cert, keyPem: key } = certificates.pair(tls.certificate);
  const { alpn, minVersion, maxVersion, ciphers, clients } = tls;
  const server = createServer({
    cert,
    key,
    allowHalfOpen: true,
    // Of a resumed handshake Node does not tell the server name.
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(clients === undefined ? {} : { ca: certificates.roots(clients), requestCert: true, rejectUnauthorized: true }),
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    ...(minVersion === undefined ? {} : { minVersion: minVersion as SecureVersion }),
    ...(maxVersion === undefined ? {} : { maxVersion: maxVersion as SecureVersion }),
    ...(ciphers === undefined ? {} : { ciphers }),
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    serve(socket);
  });
  return server;
}

/** What a handshake has settled, as either end sees it. */
export function factsOf(socket: TLSSocket, certificates: CaseCertificates): TlsFacts {
  const { servername } = socket as TLSSocket & { readonly servername?: string | false };
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().standardName,
    alpn: socket.alpnProtocol || 'none',
    sni: servername || 'none',
    certificate: certificates.nameOf(socket.getPeerX509Certificate()?.raw),
  };
}
