// Network: systems on which a loopback address has to be added before it can be listened on (macOS, BSD).

import { bindFailure } from './free-port.js';

/** @throws Error with the commands that add the addresses which this system does not have */
export async function requireLoopback(addresses: readonly string[]): Promise<void> {
  const missing: string[] = [];
  for (const address of addresses) {
    if ((await bindFailure(address, 0)) === 'EADDRNOTAVAIL') missing.push(address);
  }
  if (missing.length === 0) return;
  const commands = missing.map((address) =>
    process.platform === 'darwin'
      ? `  sudo ifconfig lo0 alias ${address} up`
      : `  sudo ifconfig lo0 inet ${address}/32 alias`,
  );
  throw new Error(
    `this system (${process.platform}) lacks loopback addresses that the mesh needs; add them and try again:\n` +
      commands.join('\n'),
  );
}
