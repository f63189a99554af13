// Contract tests of TLS: a client that speaks HTTP/1.1 or plain bytes over TLS, and the servers that it is led to.

import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type ConnectionOptions, connect, createServer as createTlsServer, type TlsOptions } from 'node:tls';

/** What a client saw of one connection. */
export interface TlsAnswer {
  /** Serial number of the certificate that was shown. */
  readonly serial: string;
  readonly protocol: string | null;
  readonly alpn: string | false | null;
  readonly cipher: string;
  /** Everything that came. */
  readonly text: string;
}

/** Sends the text over a new connection and reads to its end. Rejects where the handshake fails or the connection is cut. */
export function talkTls(options: ConnectionOptions, text: string): Promise<TlsAnswer> {
  return new Promise((resolve, reject) => {
    let received = '';
    let seen: Omit<TlsAnswer, 'text'> | undefined;
    const socket = connect({ rejectUnauthorized: false, host: '127.0.0.1', ...options }, () => {
      seen = {
        serial: socket.getPeerCertificate().serialNumber ?? '',
        protocol: socket.getProtocol(),
        alpn: socket.alpnProtocol,
        cipher: socket.getCipher().standardName,
      };
      socket.write(text);
    });
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      received += chunk;
    });
    socket.on('error', reject);
    // Where the handshake was refused the end comes without an answer.
    socket.on('close', () =>
      seen !== undefined && received !== ''
        ? resolve({ ...seen, text: received })
        : reject(new Error('closed without an answer')),
    );
  });
}

/** GETs a path with HTTP/1.1 over TLS. */
export async function getTls(
  options: ConnectionOptions & { readonly port: number; readonly requestHost?: string },
  path = '/',
): Promise<TlsAnswer & { readonly status: number; readonly body: string }> {
  const { requestHost = options.servername ?? 'localhost', ...connection } = options;
  const answer = await talkTls(connection, `GET ${path} HTTP/1.1\r\nHost: ${requestHost}\r\nConnection: close\r\n\r\n`);
  const [head = '', body = ''] = answer.text.split('\r\n\r\n');
  return { ...answer, status: Number(head.split(' ')[1]), body: answer.text.slice(head.length + 4) || body };
}

export interface TestBackend {
  readonly port: number;
  close(): Promise<void>;
}

async function listening(server: Server | HttpServer): Promise<TestBackend> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** Answers requests with its name, with what the proxy said of the client, and with the names of headers whose value is `forged`. */
export function httpBackend(name: string): Promise<TestBackend> {
  return listening(
    createHttpServer(({ headers, url }, response) => {
      const { host, 'x-forwarded-proto': scheme, 'x-forwarded-client-cert': certificate = '' } = headers;
      response.setHeader('connection', 'close');
      const forged = Object.keys(headers).filter((header) => String(headers[header]).includes('forged'));
      response.end(JSON.stringify({ name, url, host, scheme, certificate, forged }));
    }),
  );
}

/** Answers the first bytes of a connection with its name and these bytes, and ends it. */
export function tcpBackend(name: string): Promise<TestBackend> {
  return listening(
    createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.once('data', (chunk) => socket.end(`${name} got ${chunk.toString()}`));
    }),
  );
}

/** The same behind TLS of its own; with `h2` among the protocols it only says which one was agreed on. */
export function tlsBackend(name: string, options: TlsOptions): Promise<TestBackend> {
  return listening(
    createTlsServer(options, (socket) => {
      const { servername } = socket as typeof socket & { servername?: string };
      const client = socket.getPeerCertificate().subject?.CN ?? 'nobody';
      socket.on('error', () => socket.destroy());
      socket.once('data', (chunk) => {
        const [line] = chunk.toString().split('\r\n');
        const body = `${name} sni=${servername || 'none'} client=${client} got ${line}`;
        // To a request the answer is a response, to other bytes these words.
        if (/ HTTP\/1\.1$/.test(line ?? '')) {
          socket.end(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`);
        } else socket.end(body);
      });
    }),
  );
}
