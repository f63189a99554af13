// Interop tests: a rate limit service behind both proxies, which tells the client what it was asked.

import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { answerLimit } from '../conformance/mesh/answers/limit-answers.js';
import type { Backend } from './echo-backend.js';

/** Starts it; the words of `answerLimit` decide. */
export async function startLimitBackend(name: string): Promise<Backend> {
  let hits = 0;
  const sessions = new Set<ServerHttp2Session>();
  const server: Http2Server = createServer((request, response) => {
    hits++;
    const body: Buffer[] = [];
    request.on('data', (chunk: Buffer) => body.push(chunk));
    request.on('end', () => {
      const answer = answerLimit(name, Buffer.concat(body));
      if (answer === undefined) return;
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.addTrailers({ 'grpc-status': '0' });
      response.end(answer);
    });
  });
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    hits: () => hits,
    async stop() {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
