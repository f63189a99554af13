// Benchmark: the peer a Node programmer would write, node:http in front and an http(s).Agent behind.
//
// Arguments: a JSON object {listenPort, backendPorts, acceptTls?, originateTls?} with PEM file names.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { CertificateFiles } from './certificates.js';

interface Options {
  readonly listenPort: number;
  readonly backendPorts: readonly number[];
  readonly acceptTls?: CertificateFiles;
  readonly originateTls?: CertificateFiles;
}

const options = JSON.parse(process.argv[2] ?? '{}') as Options;
const { acceptTls, originateTls } = options;
const agentOptions = { keepAlive: true, maxSockets: 256, noDelay: true };
const agent = originateTls
  ? new https.Agent({
      ...agentOptions,
      ca: readFileSync(originateTls.root),
      cert: readFileSync(originateTls.client.chain),
      key: readFileSync(originateTls.client.key),
      servername: originateTls.server.dnsName,
      minVersion: 'TLSv1.3',
    })
  : new http.Agent(agentOptions);
const request = originateTls ? https.request : http.request;
let next = 0;

const handler: http.RequestListener = (incoming, outgoing) => {
  next = (next + 1) % options.backendPorts.length;
  const headers = { ...incoming.headers };
  delete headers.connection;
  const upstream = request(
    {
      host: '127.0.0.1',
      port: options.backendPorts[next],
      method: incoming.method,
      path: incoming.url,
      headers,
      agent,
    },
    (response) => {
      delete response.headers.connection;
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing);
    },
  );
  upstream.on('error', () => {
    outgoing.writeHead(502);
    outgoing.end();
  });
  incoming.pipe(upstream);
};

const server = acceptTls
  ? https.createServer(
      {
        ca: readFileSync(acceptTls.root),
        cert: readFileSync(acceptTls.server.chain),
        key: readFileSync(acceptTls.server.key),
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: 'TLSv1.3',
      },
      handler,
    )
  : http.createServer(handler);
server.keepAliveTimeout = 3_600_000;
server.on('connection', (socket) => socket.setNoDelay(true));
server.listen(options.listenPort, '127.0.0.1', 8192);
process.once('SIGTERM', () => process.exit(0));
