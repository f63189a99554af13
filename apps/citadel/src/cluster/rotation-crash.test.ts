// `kill -9` of the leader at every step of a rotation: another replica goes on or takes it back, and no root is lost.
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createKeyAndCsr, readCertificates, rootIdsOf } from '@lateen/identity';
import { requestCertificate } from '@lateen/identity/certificate-call';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { FaultPoint } from '../authority/fault-point.js';
import { type CitadelProcess, CitadelProcesses } from '../testing/citadel-process.js';
import { CITADEL_ID } from '../testing/running-citadel.js';
import { ClusterTest, SYSTEM } from '../testing/running-cluster.js';

let test: ClusterTest;
let processes: CitadelProcesses;
beforeEach(async () => {
  test = await ClusterTest.create();
  const kubeconfig = join(test.citadel.directory, 'kubeconfig');
  await writeFile(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': 'test',
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      clusters: [{ name: 'test', cluster: { server: test.api.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'test', user: {} }],
    }),
  );
  processes = new CitadelProcesses(['--kubeconfig', kubeconfig, '--lease-duration', '2s']);
});
afterEach(async () => {
  await processes.end();
  await test.end();
});

const trusted = () => test.rootSecret('root-cert.pem');
const state = () => JSON.parse(test.rootSecret('authority.json'));
const leads = (podName: string) => expect.poll(() => test.leader(), { timeout: 20_000 }).toBe(podName);

async function certificate(citadel: CitadelProcess, serviceAccount: string) {
  const { keyPem, csrPem } = await createKeyAndCsr();
  const chain = await requestCertificate({
    address: `127.0.0.1:${citadel.ports.grpc}`,
    token: test.token(SYSTEM, serviceAccount),
    rootsPem: trusted(),
    serverSpiffeId: CITADEL_ID,
    csrPem,
    validitySeconds: 0,
  });
  return { keyPem, certChainPem: chain.join('') };
}

/** One of each step; all of them are tried on a real API server (test/kube/citadel.test.ts). */
const POINTS = ['make:stored', 'distribute:followed', 'issue:bundle', 'remove:bundle'] as const satisfies FaultPoint[];

it.each(POINTS)(
  'goes on or is taken back when the leader dies at %s',
  async (point) => {
    const dying = await processes.start([], { POD_NAME: 'citadel-0', LATEEN_TEST_FAULT_POINT: point });
    await leads('citadel-0');
    const other = await processes.start([], { POD_NAME: 'citadel-1' });
    const before = trusted();
    const exited = once(dying.child, 'exit');
    const admin = await certificate(dying, 'lateen-admin');
    const citadel = { ports: dying.ports, bundlePem: trusted } as never;
    // It may die before it answers.
    await expect
      .poll(async () => (await test.citadel.adminAs(citadel, admin, '/ca/rotate-root?graceSeconds=0', 'POST')).status, {
        timeout: 10_000,
      })
      .toBe(200)
      .catch(() => undefined);
    expect(await exited).toEqual([null, 'SIGKILL']);
    await leads('citadel-1');
    await expect.poll(() => state().rotation, { timeout: 20_000 }).toBeUndefined();
    const { last, issuing } = state();
    const rolledBack = point.startsWith('make');
    expect(last.outcome).toBe(rolledBack ? 'rolled back' : 'completed');
    if (rolledBack) expect(trusted()).toBe(before);
    else expect(rootIdsOf(trusted())).toEqual([last.to]);
    expect(rootIdsOf(trusted())).toEqual([issuing]);
    expect(Object.keys(test.secret('istio-ca-secret')!.data!).filter((key) => key.startsWith('root-'))).toEqual([
      'root-cert.pem',
    ]);
    await expect.poll(() => test.bundle(SYSTEM), { timeout: 10_000 }).toBe(trusted());
    const { certChainPem } = await certificate(other, 'pilot');
    expect(rootIdsOf(readCertificates(certChainPem).at(-1)!.toString())).toEqual([issuing]);
  },
  60_000,
);
