// Interop tests: the bootstraps of examples/standalone under stock Envoy and under the Lateen sidecar, and the same requests to both.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { waitUntil } from '../harness/wait-until.js';
import { differences, type Observed } from './compare.js';
import { startHttpBackend } from './echo-backend.js';
import { requireStockEnvoy } from './envoy-required.js';
import { type ExampleUnderBoth, runExampleUnderBoth } from './example-under-both.js';
import { exchange } from './http-exchange.js';
import { startLimitBackend } from './limit-backend.js';
import type { RunningProxy } from './proxy-pair.js';

const CASES = fileURLToPath(new URL('./standalone-cases/', import.meta.url));

interface Case {
  readonly name: string;
  /** The listener that it is sent to. */
  readonly to: string;
  /** The request, line by line; the head ends with an empty line. */
  readonly send: string;
  /** Name asked for over TLS. */
  readonly serverName?: string;
  /** What Envoy is known to answer, so that the case is about what its name says. */
  readonly status?: number;
  /** Lateen answers with another status, for a reason; then nothing else is compared. */
  readonly lateen?: { readonly status: number; readonly because: string };
  /** Fields that differ, each with the reason. */
  readonly differs?: Readonly<Record<string, string>>;
}

interface CaseFile {
  readonly example: string;
  readonly cases: readonly Case[];
}

/** Line ends become CRLF; where no body follows, the empty line that ends the head is added. */
function wire(text: string): string {
  const lines = text.replaceAll('\n', '\r\n');
  return lines.includes('\r\n\r\n') ? lines.replace(/\r\n$/, '') : `${lines}\r\n`;
}

const envoyPath = requireStockEnvoy();

describe.skipIf(envoyPath === undefined)('the same bootstrap under Envoy and Lateen', () => {
  for (const file of readdirSync(CASES).filter((name) => name.endsWith('.yaml'))) {
    const { example, cases } = parse(readFileSync(join(CASES, file), 'utf8')) as CaseFile;
    describe(basename(example, '.yaml'), () => {
      let running: ExampleUnderBoth;

      beforeAll(async () => {
        running = await runExampleUnderBoth(example, envoyPath ?? '', (cluster) =>
          cluster === 'limits' ? startLimitBackend(cluster) : startHttpBackend(cluster),
        );
      });

      afterAll(() => running?.stop());

      async function observe(proxy: RunningProxy, { to, send, serverName }: Case): Promise<Observed> {
        const hitsBefore = running.hits();
        const linesBefore = proxy.logLines().length;
        const target = { port: proxy.portOf(to), ...(serverName === undefined ? {} : { serverName }) };
        const outcome = await exchange(target, wire(send));
        // A request that was answered is logged; one whose connection was refused may not be.
        const log =
          'response' in outcome
            ? await waitUntil(`${proxy.name} to log the exchange`, () => {
                const lines = proxy.logLines().slice(linesBefore);
                return lines.length > 0 ? lines : undefined;
              })
            : [];
        return { outcome, hits: running.hits() - hitsBefore, log };
      }

      test.each(cases)('$name', async (one) => {
        const envoy = await observe(running.envoy, one);
        const lateen = await observe(running.lateen, one);
        const statusOf = ({ outcome }: Observed) => ('response' in outcome ? outcome.response.status : outcome.ended);
        if (one.status !== undefined) expect(statusOf(envoy)).toBe(one.status);
        if (one.lateen !== undefined) {
          expect(statusOf(lateen)).toBe(one.lateen.status);
          expect(statusOf(envoy), 'a difference that is gone must be taken off the list').not.toBe(one.lateen.status);
          return;
        }
        const found = differences(envoy, lateen);
        const known = one.differs ?? {};
        expect(found.filter(({ field }) => !(field in known))).toEqual([]);
        // A difference that is gone must be taken off the list.
        expect(Object.keys(known).filter((field) => !found.some((each) => each.field === field))).toEqual([]);
      });
    });
  }
});
