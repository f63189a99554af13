// Admin API (15016, mTLS): the trust bundle and what was signed lately, for the CLI.

import type { IdentitySource, MtlsHttpHandler } from '@lateen/identity';
import type { AuditLog } from './audit-log.js';

export interface AdminOptions {
  readonly rootCertPem: string;
  readonly own: IdentitySource;
  readonly audit: AuditLog;
}

/** `GET /bundle` (PEM), `GET /certificates` (the last audit lines), `GET /identity` (the own certificate's dates). */
export function createAdminHandler({ rootCertPem, own, audit }: AdminOptions): MtlsHttpHandler {
  return (request, response) => {
    const answer = (code: number, type: string, body: string) => {
      response.statusCode = code;
      response.setHeader('content-type', type);
      // node:http's and node:http2's responses differ only in the types of what is not used here.
      (response as { end(body: string): void }).end(body);
    };
    if (request.method !== 'GET') return answer(405, 'text/plain', 'method not allowed\n');
    switch ((request.url ?? '/').split('?')[0]) {
      case '/bundle':
        return answer(200, 'application/x-pem-file', rootCertPem);
      case '/certificates':
        return answer(200, 'application/json', `${JSON.stringify(audit.recent)}\n`);
      case '/identity': {
        const { spiffeId, serial, notBefore, notAfter } = own.current ?? {};
        return answer(200, 'application/json', `${JSON.stringify({ spiffeId, serial, notBefore, notAfter })}\n`);
      }
      default:
        return answer(404, 'text/plain', 'not found; try /bundle, /certificates or /identity\n');
    }
  };
}
