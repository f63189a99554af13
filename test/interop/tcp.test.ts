// Interop tests: the TCP proxies of examples/standalone under stock Envoy and under the Lateen sidecar, and the same conversations.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { startProxyBackend, startTcpBackend } from './echo-backend.js';
import { requireStockEnvoy } from './envoy-required.js';
import { type ExampleUnderBoth, runExampleUnderBoth } from './example-under-both.js';
import type { RunningProxy } from './proxy-pair.js';
import { converse, converseByConnect, type Step } from './tcp-exchange.js';

const CASES = fileURLToPath(new URL('./tcp-cases/', import.meta.url));

interface TcpCase {
  readonly name: string;
  readonly to: string;
  readonly steps: readonly Step[];
  /** In a tunnel over HTTP/2: whom CONNECT asks for. */
  readonly http2?: string;
  /** Beside those that CONNECT of HTTP/2 needs. */
  readonly headers?: Readonly<Record<string, string>>;
  /** They do not say the same: what each one's answer has in it, and why. */
  readonly differs?: { readonly envoy: string; readonly lateen: string; readonly because: string };
}

/** Where the bytes begin with an answer of HTTP/1.1: its headers in one order, without what no two answers have in common. */
function withSortedHead(text: string): string {
  const end = text.indexOf('\r\n\r\n');
  if (!text.startsWith('HTTP/1.1 ') || end < 0) return text;
  const [line = '', ...headers] = text.slice(0, end).split('\r\n');
  const compared = headers.filter((header) => !/^(date|x-envoy-upstream-service-time):/.test(header)).sort();
  return [line, ...compared, text.slice(end)].join('\r\n');
}

const envoyPath = requireStockEnvoy();

describe.skipIf(envoyPath === undefined)('the same TCP proxy under Envoy and Lateen', () => {
  for (const file of readdirSync(CASES).filter((name) => name.endsWith('.yaml'))) {
    const { example, cases } = parse(readFileSync(join(CASES, file), 'utf8')) as { example: string; cases: TcpCase[] };
    describe(basename(example, '.yaml'), () => {
      let running: ExampleUnderBoth;

      beforeAll(async () => {
        running = await runExampleUnderBoth(example, envoyPath ?? '', (name) =>
          name === 'next-proxy' ? startProxyBackend() : startTcpBackend(name),
        );
      });

      afterAll(() => running?.stop());

      async function observe(proxy: RunningProxy, { to, steps, http2, headers }: TcpCase) {
        const before = running.hits();
        const port = proxy.portOf(to);
        const { received: bytes, ended } =
          http2 === undefined ? await converse(port, steps) : await converseByConnect(port, http2, steps, headers);
        const received = withSortedHead(bytes);
        // Megabytes are shown by their ends.
        const shown = received.length > 2000 ? `${received.slice(0, 500)}...${received.slice(-500)}` : received;
        return { received: shown, bytes: received.length, ended, connections: running.hits() - before };
      }

      test.each(cases)('$name', async (one) => {
        const envoy = await observe(running.envoy, one);
        const lateen = await observe(running.lateen, one);
        if (one.differs === undefined) expect(lateen).toEqual(envoy);
        else {
          expect(envoy.received).toContain(one.differs.envoy);
          expect(lateen.received).toContain(one.differs.lateen);
          expect(lateen.received, 'a difference that is gone must be taken off the list').not.toBe(envoy.received);
        }
        expect(envoy.ended).toBe('by the proxy');
      });
    });
  }
});
