// Network: the ports of 127.0.0.1 at which the host reaches the ingress gateway.

import { bindFailure, takeFreePort } from './free-port.js';

const HOST = '127.0.0.1';
/** The ports of 127.0.0.1 unless others are asked for. */
const HTTP_PORT = 8080;
const HTTPS_PORT = 8443;

export interface IngressPorts {
  readonly http: number;
  /** Undefined where it was not asked for and the usual one is in use, or belongs to a mesh with the usual port. */
  readonly https: number | undefined;
}

/**
 * Checks the wanted ports, or takes free ones for 0. The port for HTTPS, where none is asked for, goes with the one for
 * HTTP: the usual one beside the usual one, a free one beside a free one, else none.
 *
 * @throws Error saying what to do where one that was asked for is taken
 */
export async function chooseIngressPorts(http: number, https: number | undefined): Promise<IngressPorts> {
  const chosen = await choosePort(http, '--ingress-port');
  if (https !== undefined) return { http: chosen, https: await choosePort(https, '--ingress-https-port') };
  if (http === 0) return { http: chosen, https: await takeFreePort() };
  const usual = http === HTTP_PORT && (await bindFailure(HOST, HTTPS_PORT)) === undefined;
  return { http: chosen, https: usual ? HTTPS_PORT : undefined };
}

async function choosePort(wanted: number, option: string): Promise<number> {
  if (wanted === 0) return takeFreePort();
  const failure = await bindFailure(HOST, wanted);
  if (failure === undefined) return wanted;
  if (failure === 'EADDRINUSE') {
    throw new Error(
      `port ${wanted} of ${HOST} is in use; end what uses it, or choose another with ${option} N (0 for any free port)`,
    );
  }
  if (failure === 'EACCES') {
    throw new Error(`port ${wanted} may not be listened on by this user; choose one above 1023 with ${option} N`);
  }
  throw new Error(`port ${wanted} of ${HOST} cannot be listened on (${failure}); choose another with ${option} N`);
}
