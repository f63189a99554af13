// Authority: whether peers would accept a certificate: a TLS handshake of it with itself, in memory.

import { duplexPair } from 'node:stream';
import { connect, createServer, type TLSSocket } from 'node:tls';

/**
 * Shows a chain on both sides of a mutual TLS handshake. Returns why either side refuses it, in OpenSSL's words; undefined
 * where both take it.
 */
export function chainProblem(pem: {
  readonly keyPem: string;
  readonly certChainPem: string;
  readonly rootsPem: string;
}): Promise<string | undefined> {
  const context = { key: pem.keyPem, cert: pem.certChainPem, ca: pem.rootsPem, minVersion: 'TLSv1.2' as const };
  const [clientSide, serverSide] = duplexPair();
  // Not listening anywhere: it is handed its one connection.
  const server = createServer({ ...context, requestCert: true, rejectUnauthorized: true });
  return new Promise((resolve) => {
    const sides: TLSSocket[] = [];
    const end = (problem: string | undefined) => {
      resolve(problem);
      for (const side of sides) side.destroy();
    };
    const failed = (error: Error) => end(error.message);
    server.on('secureConnection', (socket) => {
      sides.push(socket.on('error', failed));
      // In TLS 1.3 the client is done before the server has looked at its certificate, so this comes last.
      end(undefined);
    });
    server.on('tlsClientError', failed);
    const client = connect({ socket: clientSide, ...context, checkServerIdentity: () => undefined });
    sides.push(client.on('error', failed));
    server.emit('connection', serverSide);
  });
}
