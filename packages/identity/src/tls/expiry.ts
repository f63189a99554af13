// Peer check: a connection lives no longer than the certificates that it was opened with. What was renewed meanwhile serves the next one.

import type { TLSSocket } from 'node:tls';

/** What ends with the connection, and ends it: the socket itself, or the HTTP/2 session on it. */
interface Ending {
  destroy(): unknown;
  once(event: 'close', listener: () => void): unknown;
}

// setTimeout takes 31 bits.
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Ends a verified connection when the first of both sides' certificates ends.
 * @param connection what is destroyed then; the socket unless given
 */
export function endAtExpiry(socket: TLSSocket, connection: Ending = socket): void {
  const certificates = [socket.getPeerX509Certificate(), socket.getX509Certificate()];
  const endMs = Math.min(...certificates.flatMap((each) => (each === undefined ? [] : [Date.parse(each.validTo)])));
  if (!Number.isFinite(endMs)) return; // closed already
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    const leftMs = endMs - Date.now();
    if (leftMs <= 0) {
      connection.destroy();
      return;
    }
    timer = setTimeout(look, Math.min(leftMs, MAX_TIMER_MS));
    timer.unref();
  };
  connection.once('close', () => clearTimeout(timer));
  look();
}
