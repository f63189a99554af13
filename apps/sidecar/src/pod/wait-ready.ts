// `lateen-sidecar wait`: ends when the proxy of this pod is ready, for a container hook that holds the application back until then.

import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Command, InvalidArgumentError } from 'commander';

interface WaitFlags {
  readonly url: string;
  readonly timeoutSeconds: number;
  readonly periodMillis: number;
  readonly requestTimeoutMillis: number;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new InvalidArgumentError('expected a whole number, at least 1');
  return count;
}

/** Flags as Istio's `pilot-agent wait` has them. Resolves to the exit code. */
export async function waitCommand(args: readonly string[]): Promise<number> {
  const flags = new Command('lateen-sidecar wait')
    .description('Waits until the proxy is ready.')
    .option('--url <url>', 'where to ask', 'http://localhost:15021/healthz/ready')
    .option('--timeoutSeconds <count>', 'the longest wait', parseCount, 60)
    .option('--periodMillis <count>', 'between two questions', parseCount, 500)
    .option('--requestTimeoutMillis <count>', 'for one answer', parseCount, 500)
    .parse([...args], { from: 'user' })
    .opts<WaitFlags>();
  const reason = await waitReady(flags);
  if (reason === undefined) return 0;
  process.stderr.write(`the proxy was not ready within ${flags.timeoutSeconds} s: ${reason}\n`);
  return 1;
}

/** Undefined once it is ready, else why it was not. */
export async function waitReady(flags: WaitFlags): Promise<string | undefined> {
  const endMs = performance.now() + flags.timeoutSeconds * 1000;
  for (;;) {
    const reason = await ask(flags);
    if (reason === undefined) return undefined;
    const leftMs = endMs - performance.now();
    if (leftMs <= 0) return reason;
    await delay(Math.min(flags.periodMillis, leftMs));
  }
}

function ask({ url, requestTimeoutMillis: timeout }: WaitFlags): Promise<string | undefined> {
  return new Promise((resolve) => {
    const request = get(url, { agent: false, timeout }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text = (text + chunk).slice(0, 500);
      });
      response.on('end', () => resolve(response.statusCode === 200 ? undefined : text.trim()));
      response.on('error', (error) => resolve(error.message));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeout} ms`)));
    request.on('error', (error) => resolve(error.message));
  });
}
