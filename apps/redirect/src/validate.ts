// Validation: whether rules stand, told by a connection and not by looking at them, since it must work without privileges.
//
// With the CNI plugin nobody in the pod may see the rules. A connection of the proxy's user to another address of the pod is
// redirected to the inbound port (rules.ts, proxyRules); where no rules are, nobody listens there.
import { randomBytes } from 'node:crypto';
import { createConnection, createServer, type Server } from 'node:net';
import { RedirectError } from './commands.js';

/** Istio's exit code, by which repairing controllers know such pods. */
export const NOT_INTERCEPTED = 126;

export interface Validation {
  readonly inboundPort: number;
  readonly proxyUids: readonly number[];
  /** A port on which nobody listens. */
  readonly probePort: number;
  readonly timeoutMs: number;
  readonly family: 4 | 6;
}

/** Where the probe goes; the redirect changes it to the first. */
const ADDRESSES = { 4: { listen: '127.0.0.1', dial: '127.0.0.6' }, 6: { listen: '::1', dial: '::6' } } as const;
const TRY_EVERY_MS = 250;

/** Resolves when a connection came where rules send it. @throws RedirectError with the reason otherwise */
export async function validateInterception(validation: Validation): Promise<void> {
  const { inboundPort, proxyUids, probePort, timeoutMs, family } = validation;
  const user = process.getuid?.() ?? 0;
  if (!proxyUids.includes(user)) {
    throw new RedirectError(
      `the validation runs as user ${user}, whose traffic the rules treat otherwise; run it as the proxy's user (${proxyUids.join(', ')})`,
    );
  }
  const { listen, dial } = ADDRESSES[family];
  const secret = randomBytes(16).toString('hex');
  const server = createServer();
  await listening(server, inboundPort, listen);
  try {
    const arrived = new Promise<void>((resolve) => {
      server.on('connection', (socket) => {
        socket.on('error', () => {});
        let text = '';
        socket.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk;
          if (text === secret) resolve();
        });
        socket.on('close', () => socket.destroy());
      });
    });
    const probe = new AbortController();
    const expired = keepDialling(dial, probePort, secret, timeoutMs, probe.signal);
    try {
      await Promise.race([arrived, expired]);
    } finally {
      probe.abort();
    }
  } finally {
    server.close();
  }
}

function listening(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new RedirectError(
          error.code === 'EADDRINUSE'
            ? `${host}:${port} is in use: validate before the proxy starts, not beside it`
            : `${host}:${port} cannot be listened on: ${error.message}`,
        ),
      );
    });
    server.listen(port, host, () => resolve());
  });
}

/** Dials again and again, since the plugin may be late. Rejects after `timeoutMs`. */
async function keepDialling(
  host: string,
  port: number,
  secret: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<never> {
  const deadline = Date.now() + timeoutMs;
  let last = 'nothing answered';
  while (!signal.aborted && Date.now() < deadline) {
    last = (await dialOnce(host, port, secret)) ?? 'it went elsewhere';
    await new Promise((resolve) => setTimeout(resolve, TRY_EVERY_MS));
  }
  throw new RedirectError(
    `no rules redirect this pod's traffic: a connection to ${host}:${port} did not come to the proxy within ${timeoutMs / 1000} s (${last}). With the CNI plugin this happens where a pod starts before the plugin is on its node: delete the pod, so that it starts anew; else see docs/interception.md`,
  );
}

function dialOnce(host: string, port: number, secret: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    socket.setTimeout(1000, () => socket.destroy());
    socket.once('error', (error) => resolve(error.message));
    socket.once('close', () => resolve(undefined));
    socket.end(secret);
  });
}
