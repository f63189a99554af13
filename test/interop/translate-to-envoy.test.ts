// Interop tests: a stock Envoy takes every golden case of packages/translate, as Pilot serves it to a node that is not Lateen's.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GoldenSnapshot, goldenSnapshots } from '../contract/golden-snapshots.js';
import { adsBootstrap, grpcCluster } from '../harness/ads-bootstrap.js';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.js';
import { freePort } from '../harness/free-port.js';
import { type LogFile, startLogFile } from '../harness/log-file.js';
import { notTaken } from '../harness/not-taken.js';
import { type SdsServer, startSdsServer } from '../harness/sds-server.js';
import { waitUntil } from '../harness/wait-until.js';
import { requireStockEnvoy } from './envoy-required.js';

const envoyPath = requireStockEnvoy();
const goldens = goldenSnapshots(true).filter(({ refusedByGalley }) => refusedByGalley.length === 0);

describe.skipIf(envoyPath === undefined).each(['GRPC', 'DELTA_GRPC'] as const)(
  'a stock Envoy (%s) takes',
  (apiType) => {
    let directory: string;
    let control: ControlPlane;
    let sds: SdsServer;
    let envoy: ChildProcess;
    let log: LogFile;

    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'lateen-envoy-'));
      const authority = await TestAuthority.create();
      const identity = await authority.issue({ namespace: 'default', serviceAccount: 'client' });
      const sdsSocket = join(directory, 'sds.sock');
      // The files that cases name are nowhere, and an Envoy waits fifteen seconds for what it is not given.
      sds = await startSdsServer(sdsSocket, new StaticIdentity(identity), true);
      control = await startControlPlane();
      const path = join(directory, 'bootstrap.yaml');
      const clusters = [grpcCluster('sds-grpc', { pipe: { path: sdsSocket } })];
      const fields = adsBootstrap({ apiType, controlPort: control.port, adminPort: await freePort(), clusters });
      writeFileSync(path, JSON.stringify(fields));
      const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '--drain-time-s', '1'];
      log = startLogFile(join(directory, 'envoy.log'));
      envoy = spawn(envoyPath ?? '', ['-c', path, ...flags], { stdio: ['ignore', log.descriptor, log.descriptor] });
    });

    afterAll(async () => {
      const ended = envoy.exitCode === null && envoy.signalCode === null ? once(envoy, 'exit') : undefined;
      envoy.kill('SIGKILL');
      await ended;
      log.close();
      control.stop();
      sds.stop();
      rmSync(directory, { recursive: true, force: true });
    });

    test.each(goldens.map((golden) => [golden.name, golden] as const))(
      '%s',
      async (name, { snapshot }: GoldenSnapshot) => {
        control.nacks.length = 0;
        control.publish(snapshot);
        const missing = () => notTaken(control.types(), snapshot);
        try {
          await waitUntil(`Envoy to take ${name}`, () => control.nacks.length > 0 || missing().length === 0);
        } catch (error) {
          throw new Error(`${(error as Error).message}: ${missing().join('; ')}\n${log.text().slice(-2000)}`);
        }
        expect(control.nacks).toEqual([]);
        expect(sds.refusals).toEqual([]);
      },
    );
  },
);
