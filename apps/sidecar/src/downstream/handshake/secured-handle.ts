// Downstream TLS: the part of Node's native TLS streams that a handshake drives by itself, looked up once and checked.

import type { SecureContext } from 'node:tls';
import { drivableHandle, type StreamHandle } from '../../transport/stream-handles.js';

/** A certificate that the peer has sent, and the next one of its chain. */
export interface ShownCertificate {
  raw(): Buffer;
  getIssuerCert(): ShownCertificate | undefined;
}

/** A native TLS stream on top of another handle, as `tls.TLSSocket` keeps it in `_handle`. */
export interface SecuredHandle extends StreamHandle {
  onhandshakestart: () => void;
  onhandshakedone: (this: SecuredHandle) => void;
  /** The handshake or, after it, a record failed; an alert is with the kernel already. */
  onerror: (this: SecuredHandle, error: Error) => void;
  /** Takes bytes of the peer that were read before. */
  receive(bytes: Uint8Array): void;
  setVerifyMode(requestCertificate: boolean, refuseWithout: boolean): void;
  /** In the form of the ALPN extension. */
  setALPNProtocols(wire: Uint8Array): void;
  getALPNNegotiatedProtocol(): string | false | undefined;
  getPeerX509Certificate(): ShownCertificate | undefined;
  isSessionReused(): boolean;
  verifyError(): (Error & { readonly code?: string }) | null | undefined;
  destroySSL(): void;
}

type Wrap = (below: StreamHandle, context: unknown, isServer: true, writeUnderWay: false) => SecuredHandle;

function findWrap(): Wrap | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => Record<string, unknown> };
  if (typeof binding !== 'function') return undefined;
  try {
    const { wrap } = binding.call(process, 'tls_wrap');
    return typeof wrap === 'function' ? (wrap as Wrap) : undefined;
  } catch {
    return undefined; // this Node does not give it out (its permission model is on, for example)
  }
}

const wrap = findWrap();
const USED = [
  'receive',
  'setVerifyMode',
  'setALPNProtocols',
  'getALPNNegotiatedProtocol',
  'getPeerX509Certificate',
  'isSessionReused',
  'verifyError',
  'destroySSL',
] as const;

/**
 * Puts the accepting side of TLS on a TCP handle. Undefined where this Node does not give out what is needed; the handle
 * below must then not be used further, so `canSecureHandles` says it before.
 */
export function secureHandle(below: StreamHandle, context: SecureContext): SecuredHandle | undefined {
  if (wrap === undefined) return undefined;
  const secured = wrap(below, (context as unknown as { context: unknown }).context, true, false);
  // Closing it and asking it for addresses go to the handle below by this field, as in Node's own tls.
  Object.assign(secured, { _parent: below });
  if (drivableHandle(secured) === undefined) return undefined;
  const known = secured as unknown as Record<string, unknown>;
  return USED.every((name) => typeof known[name] === 'function') ? secured : undefined;
}

export const canSecureHandles = wrap !== undefined;

/** Closes it with the handle below; what OpenSSL holds is freed as soon as that is closed. */
export function closeSecured(secured: SecuredHandle): void {
  secured.close(() => secured.destroySSL());
}

/** Names in the form of the ALPN extension (RFC 7301). */
export function alpnWire(protocols: readonly string[]): Buffer {
  return Buffer.concat(protocols.map((name) => Buffer.from([name.length, ...Buffer.from(name, 'latin1')])));
}
