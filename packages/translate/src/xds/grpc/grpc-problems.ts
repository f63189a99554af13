// Build: what is said where configuration asks for what proxyless gRPC clients do not do.

import type { Problem } from '../../model.js';

/** @param effect what happens instead */
export function unsupportedForGrpc(subject: string, effect: string): Problem {
  return {
    code: 'unsupported-for-grpc',
    severity: 'warning',
    subject,
    message: `proxyless gRPC clients: ${effect}`,
  };
}
