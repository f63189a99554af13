// Demo check: tries to talk to a workload's port, in plaintext or by TLS with whatever certificate, and tells what came back.

import { connect as connectPlain } from 'node:net';
import { connect as connectTls, type SecureVersion, type TLSSocket } from 'node:tls';

export interface Target {
  readonly address: string;
  readonly port: number;
}

export interface TlsClient {
  readonly keyPem?: string;
  readonly certChainPem?: string;
  readonly maxVersion?: SecureVersion;
  /** Of an earlier connection, to be resumed. */
  readonly session?: Buffer;
}

export interface Attempt {
  /** Everything that the server sent inside. */
  readonly received: string;
  /** How the connection ended. */
  readonly ending: string;
  /** Session tickets that the server handed out. */
  readonly sessions: readonly Buffer[];
  readonly resumed: boolean;
  /** Serial number of the server's certificate, upper-case hexadecimal. */
  readonly serverSerial: string | undefined;
}

const REQUEST = 'GET /reviews/0 HTTP/1.1\r\nHost: reviews.default.svc.cluster.local:9080\r\nConnection: close\r\n\r\n';
const SNI = 'outbound_.9080_._.reviews.default.svc.cluster.local';
const TIMEOUT_MS = 5000;

/** Sends a plaintext request. */
export function attemptPlaintext({ address, port }: Target): Promise<Attempt> {
  return new Promise((resolve) => {
    const socket = connectPlain({ host: address, port });
    let received = '';
    let ending = 'closed';
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`open after ${TIMEOUT_MS} ms`)));
    socket.on('connect', () => socket.write(REQUEST));
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      ending = error.code ?? error.message;
    });
    socket.on('close', () => resolve({ received, ending, sessions: [], resumed: false, serverSerial: undefined }));
  });
}

/** Makes a TLS connection as a sidecar would, sends a request and reads to the end. The server is not verified. */
export function attemptTls({ address, port }: Target, client: TlsClient): Promise<Attempt> {
  return new Promise((resolve) => {
    const sessions: Buffer[] = [];
    let received = '';
    let ending = 'closed';
    let resumed = false;
    let serverSerial: string | undefined;
    const socket: TLSSocket = connectTls({
      host: address,
      port,
      servername: SNI,
      key: client.keyPem,
      cert: client.certChainPem,
      session: client.session,
      maxVersion: client.maxVersion ?? 'TLSv1.3',
      ALPNProtocols: ['istio-http/1.1', 'istio', 'http/1.1'],
      rejectUnauthorized: false,
    });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error(`open after ${TIMEOUT_MS} ms`)));
    socket.on('session', (session) => sessions.push(session));
    socket.on('secureConnect', () => {
      resumed = socket.isSessionReused();
      const certificate = socket.getPeerX509Certificate();
      serverSerial = certificate?.serialNumber;
      socket.write(REQUEST);
    });
    socket.on('data', (bytes) => {
      received += bytes.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      ending = error.code ?? error.message;
    });
    socket.on('close', () => resolve({ received, ending, sessions, resumed, serverSerial }));
  });
}
