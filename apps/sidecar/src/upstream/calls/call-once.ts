// Upstream: a unary call of gRPC as a promise, for those who have nothing to cancel.

import type { DataPath } from '../../transport/data-path.js';
import { type CallTarget, UnaryCall } from './unary-call.js';

/** Rejects with the reason where it is not answered with success. */
export function callOnce(path: DataPath, target: CallTarget, message: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    new UnaryCall(path, target, message, {
      onCallAnswered: resolve,
      onCallFailed: (reason) => reject(new Error(reason)),
    }).begin();
  });
}
