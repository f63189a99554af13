// Network: the port of 127.0.0.1 at which the host reaches the ingress gateway.

import { bindFailure, takeFreePort } from './free-port.js';

const HOST = '127.0.0.1';

/** Checks the wanted port, or takes a free one for 0. @throws Error saying what to do where it is taken */
export async function chooseIngressPort(wanted: number): Promise<number> {
  if (wanted === 0) return takeFreePort();
  const failure = await bindFailure(HOST, wanted);
  if (failure === undefined) return wanted;
  if (failure === 'EADDRINUSE') {
    throw new Error(
      `port ${wanted} of ${HOST} is in use; end what uses it, or choose another with --ingress-port N (0 for any free port)`,
    );
  }
  if (failure === 'EACCES') {
    throw new Error(`port ${wanted} may not be listened on by this user; choose one above 1023 with --ingress-port N`);
  }
  throw new Error(`port ${wanted} of ${HOST} cannot be listened on (${failure}); choose another with --ingress-port N`);
}
