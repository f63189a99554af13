// Serving: the admin port. Connect, gRPC and gRPC-web for ConfigAdmin; plain JSON for the status page.

import { createContextValues } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { createMtlsHttpServer, type IdentitySource, type MtlsHttpServer, requestPeer } from '@lateen/identity';
import { addConfigAdmin, type ConfigAdminOptions, callerKey } from './config-admin.js';

export interface AdminServerOptions extends ConfigAdminOptions {
  readonly source: IdentitySource;
  readonly address: string;
  readonly port: number;
  /** What `GET /debug/status` answers, as JSON. */
  readonly status: () => unknown;
}

const MAX_REQUEST_BYTES = 32 * 1024 * 1024;

/** Starts the server. Rejects when there is no certificate yet or the port is taken. */
export function startAdminServer(options: AdminServerOptions): Promise<MtlsHttpServer> {
  const handler = connectNodeAdapter({
    routes: (router) => addConfigAdmin(router, options),
    contextValues: (request) => createContextValues().set(callerKey, requestPeer(request)),
    readMaxBytes: MAX_REQUEST_BYTES,
    fallback: (request, response) => {
      const found = request.method === 'GET' && request.url === '/debug/status';
      response.statusCode = found ? 200 : 404;
      response.setHeader('content-type', found ? 'application/json' : 'text/plain');
      const body = found ? `${JSON.stringify(options.status())}\n` : 'not found; try /debug/status\n';
      // node:http's and node:http2's responses differ only in the types of what is not used here.
      (response as { end(body: string): void }).end(body);
    },
  });
  const { source, roles, address, port, logger } = options;
  return createMtlsHttpServer({
    source,
    allowedClients: roles.mayConnect,
    handler,
    address,
    port,
    onRefused: (reason, remoteAddress) =>
      logger.warn({ remoteAddress, reason: reason.message }, 'admin client refused'),
  });
}
