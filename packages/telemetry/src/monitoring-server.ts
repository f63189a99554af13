// Monitoring port (15014) of every control-plane service: /metrics, /version, /healthz, /ready.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface MonitoringOptions {
  readonly address: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly registry: Registry;
  readonly version: string;
  /** What is still missing, or undefined when the service is ready. */
  readonly notReadyReason: () => string | undefined;
}

export interface MonitoringServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Starts the monitoring server. Rejects when the address cannot be bound. */
export function startMonitoringServer(options: MonitoringOptions): Promise<MonitoringServer> {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0];
    const answer = (status: number, type: string, body: string) => {
      response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
      response.end(body);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') return answer(405, 'text/plain', 'method not allowed\n');
    switch (path) {
      case '/metrics':
        options.registry.metrics().then(
          (text) => answer(200, options.registry.contentType, text),
          (error: Error) => answer(500, 'text/plain', `collecting metrics failed: ${error.message}\n`),
        );
        return;
      case '/version':
        return answer(200, 'application/json', `${JSON.stringify({ version: options.version })}\n`);
      case '/healthz':
        return answer(200, 'text/plain', 'ok\n');
      case '/ready': {
        const reason = options.notReadyReason();
        return reason === undefined
          ? answer(200, 'text/plain', 'ready\n')
          : answer(503, 'text/plain', `not ready: ${reason}\n`);
      }
      default:
        return answer(404, 'text/plain', 'not found; try /metrics, /version, /healthz or /ready\n');
    }
  });
  return listen(server, options.address, options.port);
}

function listen(server: Server, address: string, port: number): Promise<MonitoringServer> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, () => {
      server.off('error', reject);
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}
