// Identity, end to end: certificates renewed every two seconds under load, most requests on new handshakes, some resumed.

import http from 'node:http';
import type { CertificateClient } from '@lateen/identity';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { waitUntil } from '../../harness/wait-until.js';
import { type Handshake, RenewingPair } from './renewing-pair.js';

const LOAD_MS = 30_000;
let pair: RenewingPair;
let testClient: CertificateClient;

beforeAll(async () => {
  pair = await RenewingPair.start();
  testClient = await pair.client('probe');
});
afterAll(() => pair?.stop());

function describe(result: Handshake): string {
  const identity = testClient.current;
  const leftMs = (identity?.notAfter.getTime() ?? 0) - Date.now();
  return `handshake: "${result.status}", ${result.resumed ? 'resumed' : 'full'}, own certificate has ${leftMs} ms left`;
}

test('no request fails while certificates are renewed every two seconds for thirty seconds', async () => {
  const keepAlive = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const failures: string[] = [];
  const serials = new Set<string>();
  let pooled = 0;
  let handshakes = 0;
  let resumptions = 0;
  const end = Date.now() + LOAD_MS;

  const pooledLoad = async () => {
    while (Date.now() < end) {
      const answer = await pair.viaSidecar(keepAlive).catch((error: Error) => ({ status: 0, body: error.message }));
      if (answer.status !== 200 || answer.body !== 'hello') failures.push(`pooled: ${answer.status} ${answer.body}`);
      pooled++;
      await waitUntil('the handshakes to catch up', () => handshakes >= pooled || Date.now() >= end);
    }
  };
  const handshakeLoad = async () => {
    let session: Buffer | undefined;
    while (Date.now() < end) {
      try {
        const result = await pair.onNewHandshake(testClient.current!, session);
        if (!result.status.startsWith('HTTP/1.1 200')) failures.push(describe(result));
        if (result.resumed) resumptions++;
        if (result.serial !== '') serials.add(result.serial);
        // Every other handshake is a full one, so that new certificates are seen too.
        session = session === undefined ? result.session : undefined;
      } catch (error) {
        failures.push(`handshake: ${(error as Error).message}`);
      }
      handshakes++;
    }
  };
  await Promise.all([pooledLoad(), pooledLoad(), handshakeLoad(), handshakeLoad()]);
  keepAlive.destroy();

  const logs = pair.output();
  expect(failures.slice(0, 10), logs.slice(-4000)).toEqual([]);
  expect(handshakes).toBeGreaterThanOrEqual(pooled);
  expect(resumptions).toBeGreaterThan(0);
  expect(serials.size).toBeGreaterThanOrEqual(10);
  console.log(
    `${pooled} pooled requests, ${handshakes} handshakes, ${resumptions} resumed, ${serials.size} certificates seen`,
  );
}, 90_000);
