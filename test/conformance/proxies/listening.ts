// Conformance, step 5: at which addresses nobody listens. The kernel is asked: a connection to find out would be counted by who takes it,
// and, where that one is busy, some time later.

import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { connect } from 'node:net';
import { endianness } from 'node:os';

export interface SocketPlace {
  /** An address of IPv4. */
  readonly host: string;
  readonly port: number;
}

/** The kernel's table of TCP sockets of IPv4: those that listen come first. */
const TABLE = '/proc/net/tcp';
const LISTENING = '0A';

/** Reads lines of the table as long as they are of sockets that listen. */
function listeningSockets(): ReadonlySet<string> {
  const sockets = new Set<string>();
  const file = openSync(TABLE, 'r');
  const chunk = Buffer.alloc(1 << 16);
  let rest = '';
  try {
    for (;;) {
      const bytes = readSync(file, chunk, 0, chunk.length, null);
      const lines = (rest + chunk.toString('latin1', 0, bytes)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [number, local = '', , state] = line.trim().split(/\s+/);
        if (number === 'sl') continue;
        if (state !== LISTENING) return sockets;
        sockets.add(local);
      }
      if (bytes === 0) return sockets;
    }
  } finally {
    closeSync(file);
  }
}

/** As the table writes it. */
function inTable({ host, port }: SocketPlace): string {
  const bytes = Buffer.from(host.split('.').map(Number));
  if (endianness() === 'LE') bytes.reverse();
  return `${bytes.toString('hex')}:${port.toString(16).padStart(4, '0')}`.toUpperCase();
}

function accepts({ host, port }: SocketPlace): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Those of the places at which nobody listens. Where the kernel shows no table they are tried by connections. */
export async function notListening(places: readonly SocketPlace[]): Promise<readonly SocketPlace[]> {
  if (existsSync(TABLE)) {
    const sockets = listeningSockets();
    return places.filter((place) => !sockets.has(inTable(place)));
  }
  const accepted = await Promise.all(places.map(accepts));
  return places.filter((_, index) => !accepted[index]);
}
