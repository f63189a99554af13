// Interop tests: a backend that answers with the request as it understood it, so that comparing answers compares requests too.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Values that differ in each request by design; that they are there is compared. */
function steadyValue(name: string, value: string): string {
  return name === 'x-request-id' && UUID.test(value) ? 'a UUID' : value;
}

export interface Backend {
  readonly port: number;
  /** Requests (or connections) that arrived so far. */
  hits(): number;
  stop(): Promise<void>;
}

function answer(name: string, request: IncomingMessage, response: ServerResponse, body: string): void {
  const { rawHeaders } = request;
  const headers: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const lower = (rawHeaders[index] ?? '').toLowerCase();
    headers.push(`${lower}: ${steadyValue(lower, rawHeaders[index + 1] ?? '')}`);
  }
  const seen = { backend: name, method: request.method, target: request.url, headers: headers.sort(), body };
  const text = `${JSON.stringify(seen, null, 1)}\n`;
  const status = Number(request.headers['x-answer-status'] ?? 200);
  response.statusCode = status;
  response.setHeader('x-powered-by', 'echo');
  response.setHeader('set-cookie', ['first=1', 'second=2']);
  response.setHeader('content-type', 'application/json');
  if (status === 204 || status === 304) response.end();
  else if (request.headers['x-answer-chunked'] !== undefined) {
    response.write(text.slice(0, 10));
    response.end(text.slice(10));
  } else {
    response.setHeader('content-length', Buffer.byteLength(text));
    response.end(text);
  }
}

const listen = async (server: Server | TcpServer): Promise<number> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
};

/** An HTTP backend; `x-answer-status` and `x-answer-chunked` in a request choose the form of its answer. */
export async function startHttpBackend(name: string): Promise<Backend> {
  let hits = 0;
  const server = createServer((request, response) => {
    hits++;
    let body = '';
    request.setEncoding('latin1');
    request.on('data', (chunk: string) => {
      body += chunk;
    });
    request.on('end', () => answer(name, request, response, body));
  });
  server.keepAliveTimeout = 120_000;
  const port = await listen(server);
  return {
    port,
    hits: () => hits,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A TCP backend that greets first, echoes in capitals, and ends when its peer does or says "hang up". */
export function startTcpBackend(name: string): Promise<Backend> {
  return startSocketBackend((socket) => {
    socket.write(`hello from ${name}\n`);
    echo(socket);
  });
}

/** The same behind a proxy that is asked for it by CONNECT; it refuses `refused.*`, says 201 to `created.*` and a length to `sized.*`, and echoes what it was asked with. */
export function startProxyBackend(): Promise<Backend> {
  return startSocketBackend((socket) => {
    let head = '';
    const onData = (chunk: Buffer) => {
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      const [line, host] = head.split('\r\n');
      if (head.startsWith('CONNECT refused.')) {
        socket.write('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 3\r\n\r\nno\n');
        return;
      }
      echo(socket);
      const status = head.startsWith('CONNECT created.') ? '201 Created' : '200 OK';
      const length = head.startsWith('CONNECT sized.') ? 'content-length: 5\r\n' : '';
      // The tunnel begins with what was there too early.
      socket.write(
        `HTTP/1.1 ${status}\r\nx-next: yes\r\n${length}\r\n${line} | ${host} | ${head.length - end - 4} too early\n`,
      );
    };
    socket.on('data', onData);
  });
}

function echo(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => {
    const text = chunk.toString('latin1');
    if (text.endsWith('hang up\n')) socket.end(`${text.toUpperCase()}goodbye\n`, 'latin1');
    else socket.write(text.toUpperCase(), 'latin1');
  });
  socket.on('end', () => socket.end('goodbye\n'));
}

async function startSocketBackend(serve: (socket: Socket) => void): Promise<Backend> {
  let hits = 0;
  const sockets = new Set<Socket>();
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => {
    hits++;
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => sockets.delete(socket));
    serve(socket);
  });
  const port = await listen(server);
  return {
    port,
    hits: () => hits,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
