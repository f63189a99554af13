// Admin API (15016, mTLS): the trust bundle, what was signed lately, how the authority stands; and the order to replace the root.

import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { type AdminRoles, type IdentitySource, type MtlsHttpHandler, requestPeer } from '@lateen/identity';
import type { PublishedCheckpoints } from '@lateen/identity/checkpoints';
import type { AuthorityStatus, Logger } from '@lateen/telemetry';
import type { AuditLog } from './audit-log.js';
import type { Authority } from './authority/authority.js';
import { RotationRefused } from './authority/authority-source.js';

export interface AdminOptions {
  readonly authority: Authority;
  readonly own: IdentitySource;
  readonly audit: AuditLog;
  readonly roles: AdminRoles;
  readonly logger: Logger;
  readonly status: () => AuthorityStatus;
  readonly checkpoints: () => PublishedCheckpoints;
  /** @throws RotationRefused */
  readonly rotateRoot: (graceSeconds: number, requestedBy: string) => Promise<void>;
}

const MAX_GRACE_SECONDS = 365 * 24 * 3600;

/** What to answer: a status and a body. */
type Answer = readonly [code: number, type: string, body: string];

/**
 * `GET /bundle` (PEM), `/certificates` (the last audit lines), `/identity` (the own certificate's dates), `/ca/status`, `/audit/checkpoints`;
 * `POST /ca/rotate-root?graceSeconds=N`.
 */
export function createAdminHandler(options: AdminOptions): MtlsHttpHandler {
  return (request, response) => {
    const send = ([code, type, body]: Answer) => {
      response.statusCode = code;
      response.setHeader('content-type', type);
      // node:http's and node:http2's responses differ only in the types of what is not used here.
      (response as { end(body: string): void }).end(body);
    };
    // By parts: some targets, such as `//`, are no address, and what is thrown here would end the process.
    const [path = '', query = ''] = (request.url ?? '/').split('?', 2);
    if (request.method === 'GET') return send(read(options, path));
    if (request.method !== 'POST' || path !== '/ca/rotate-root')
      return send([405, 'text/plain', 'method not allowed\n']);
    rotate(options, new URLSearchParams(query), request).then(send, (error: Error) =>
      send([500, ...json({ error: error.message })]),
    );
  };
}

function read({ authority, own, audit, status, checkpoints }: AdminOptions, path: string): Answer {
  switch (path) {
    case '/bundle':
      return [200, 'application/x-pem-file', authority.current.bundlePem];
    case '/certificates':
      return [200, ...json(audit.recent)];
    case '/identity': {
      const { spiffeId, serial, notBefore, notAfter } = own.current ?? {};
      return [200, ...json({ spiffeId, serial, notBefore, notAfter })];
    }
    case '/ca/status':
      return [200, ...json(status())];
    case '/audit/checkpoints':
      return [200, ...json(checkpoints())];
    default:
      return [
        404,
        'text/plain',
        'not found; try /bundle, /certificates, /identity, /ca/status or /audit/checkpoints\n',
      ];
  }
}

async function rotate(
  { rotateRoot, status, roles, logger }: AdminOptions,
  query: URLSearchParams,
  request: IncomingMessage | Http2ServerRequest,
): Promise<Answer> {
  const peer = requestPeer(request);
  const refusal = roles.refusal(peer, 'admin');
  if (refusal !== undefined) {
    logger.warn({ peer }, `rotation of the root refused: ${refusal}`);
    return [403, ...json({ error: refusal })];
  }
  const grace = Number(query.get('graceSeconds') ?? 'none');
  if (!Number.isInteger(grace) || grace < 0 || grace > MAX_GRACE_SECONDS)
    return [400, ...json({ error: `graceSeconds must be a number from 0 to ${MAX_GRACE_SECONDS}` })];
  try {
    await rotateRoot(grace, peer);
  } catch (error) {
    if (error instanceof RotationRefused) return [409, ...json({ error: error.message })];
    throw error;
  }
  return [200, ...json(status())];
}

function json(value: unknown): [type: string, body: string] {
  return ['application/json', `${JSON.stringify(value)}\n`];
}
