// `kill -9` of Citadel at every step of a rotation: it goes on or takes it back, and no root is lost.
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createKeyAndCsr, identityFromPem, MtlsAgent, mtlsFetch, rootIdsOf, StaticIdentity } from '@lateen/identity';
import { requestCertificate } from '@lateen/identity/certificate-call';
import type { AuthorityStatus } from '@lateen/telemetry';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { type CitadelProcess, CitadelProcesses } from '../testing/citadel-process.js';
import { CITADEL_ID, CitadelTest } from '../testing/running-citadel.js';
import { FAULT_POINTS } from './fault-point.js';

let test: CitadelTest;
let processes: CitadelProcesses;
beforeEach(async () => {
  test = await CitadelTest.create();
  processes = new CitadelProcesses(['--state-dir', test.stateDir, '--token-key', join(test.directory, 'jwks.json')]);
});
afterEach(async () => {
  await processes.end();
  await test.end();
});

const bundle = () => readFile(join(test.stateDir, 'root-cert.pem'), 'utf8');

/** A certificate from a running Citadel, which leads to a root that everybody has. */
async function administrator(citadel: CitadelProcess): Promise<StaticIdentity> {
  const { keyPem, csrPem } = await createKeyAndCsr();
  const rootsPem = await bundle();
  const chain = await requestCertificate({
    address: `127.0.0.1:${citadel.ports.grpc}`,
    token: await test.token({ namespace: 'istio-system', serviceAccount: 'lateen-admin' }),
    rootsPem,
    serverSpiffeId: CITADEL_ID,
    csrPem,
    validitySeconds: 0,
  });
  return new StaticIdentity(identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem }));
}

async function call(citadel: CitadelProcess, method: string, path: string): Promise<AuthorityStatus> {
  const agent = new MtlsAgent({ source: await administrator(citadel), expectedSpiffeIds: [CITADEL_ID] });
  try {
    const response = await mtlsFetch(agent)(`https://127.0.0.1:${citadel.ports.admin}${path}`, { method });
    return (await response.json()) as AuthorityStatus;
  } finally {
    agent.destroy();
  }
}

it('completes or rolls back, whenever Citadel is killed', async () => {
  let citadel = await processes.start();
  const first = rootIdsOf(await bundle())[0]!;
  citadel.child.kill('SIGKILL');
  await once(citadel.child, 'exit');
  for (const point of FAULT_POINTS) {
    const child = processes.spawn([], { LATEEN_TEST_FAULT_POINT: point });
    const exited = once(child, 'exit');
    citadel = await processes.up(child).catch(() => citadel); // it may go on with the rotation, and die, before it is up
    if (point.startsWith('make') || point === 'distribute:decided') {
      expect(rootIdsOf(await bundle()), point).toEqual([first]);
      // Nobody has followed, so that without grace no step waits.
      await call(citadel, 'POST', '/ca/rotate-root?graceSeconds=0').catch(() => undefined);
    }
    expect(await exited, point).toEqual([null, 'SIGKILL']);
  }
  citadel = await processes.start();
  await expect
    .poll(async () => (await call(citadel, 'GET', '/ca/status')).rotation, { timeout: 20_000 })
    .toBeUndefined();
  const status = await call(citadel, 'GET', '/ca/status');
  expect(status.last).toMatchObject({ outcome: 'completed', from: first });
  expect(rootIdsOf(await bundle())).toEqual([status.last!.to]);
  // Neither the old root's key nor those of the ones that were taken back are left.
  expect(await readdir(join(test.stateDir, 'roots'))).toEqual([status.last!.to]);
  const lines = (await test.auditLines()).filter(({ event }) => event === 'rotation').map(({ step }) => step);
  expect(lines.filter((step) => step === 'rolled back')).toHaveLength(3);
  expect(lines.at(-1)).toBe('completed');
}, 120_000);
