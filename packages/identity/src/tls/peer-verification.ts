// Peer check: what both sides of every control-plane connection do after each handshake, before the first byte is used.

import type { TLSSocket } from 'node:tls';
import type { SpiffeId } from '../spiffe-id.js';
import { PeerIdentityError, parsePeerSpiffeId } from '../subject-alt-names.js';

/** Says which peers are welcome: a set of ids, or a predicate. */
export type PeerRule = ReadonlySet<SpiffeId> | readonly SpiffeId[] | ((peer: SpiffeId) => boolean);

/** True when the rule admits the peer. */
export function peerAllowed(rule: PeerRule, peer: SpiffeId): boolean {
  if (typeof rule === 'function') return rule(peer);
  return 'has' in rule ? rule.has(peer) : rule.includes(peer);
}

/**
 * The verified identity of the other end of a TLS connection. Node's own checks do not suffice: on the accepting side
 * only `tls.Server` acts on `rejectUnauthorized`, on the connecting side `checkServerIdentity` is skipped for a resumed
 * session, and a TLS 1.3 session resumed without a client certificate counts as `authorized`. Hence the result of the
 * chain verification, the presence of a certificate and its one URI name are all checked here, each time.
 * @throws PeerIdentityError
 */
export function verifiedPeer(socket: TLSSocket): SpiffeId {
  if (!socket.authorized) {
    const reason = socket.authorizationError;
    throw new PeerIdentityError(
      `the peer's certificate was not verified: ${reason?.message ?? reason ?? 'none given'}`,
    );
  }
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) throw new PeerIdentityError('the peer presented no certificate');
  // A resumed session keeps the verdict of the first handshake, so the dates are looked at again.
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    throw new PeerIdentityError(
      `the peer's certificate is valid from ${certificate.validFrom} to ${certificate.validTo}`,
    );
  }
  return parsePeerSpiffeId(certificate.raw);
}

/** As `verifiedPeer`, and the rule must admit the id. @throws PeerIdentityError naming the id that was not expected */
export function requirePeer(socket: TLSSocket, rule: PeerRule): SpiffeId {
  const peer = verifiedPeer(socket);
  if (!peerAllowed(rule, peer)) throw new PeerIdentityError(`the peer is ${peer}, which is not admitted here`);
  return peer;
}
