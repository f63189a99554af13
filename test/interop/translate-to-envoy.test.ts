// Interop tests: a stock Envoy takes every golden case of packages/translate, as Pilot serves it to a node that is not Lateen's.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type GoldenSnapshot, goldenSnapshots, notTaken } from '../contract/golden-snapshots.js';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.js';
import { freePort } from '../harness/free-port.js';
import { waitUntil } from '../harness/wait-until.js';
import { requireStockEnvoy } from './envoy-required.js';
import { type LogFile, startLogFile } from './log-file.js';
import { type SdsServer, startSdsServer } from './sds-server.js';

const envoyPath = requireStockEnvoy();
const goldens = goldenSnapshots(true).filter(({ refusedByGalley }) => refusedByGalley.length === 0);

function bootstrap(apiType: string, controlPort: number, adminPort: number, sdsSocket: string): object {
  const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
  const ads = { ads: {}, resource_api_version: 'V3' };
  const options = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  const http2 = {
    [options]: { '@type': `type.googleapis.com/${options}`, explicit_http_config: { http2_protocol_options: {} } },
  };
  const cluster = (name: string, where: object) => ({
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    typed_extension_protocol_options: http2,
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: where } }] }] },
  });
  return {
    node: { id: 'sidecar~127.0.0.1~client-0.default~default.svc.cluster.local', cluster: 'client.default' },
    admin: { address: address(adminPort) },
    dynamic_resources: {
      ads_config: {
        api_type: apiType,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      lds_config: ads,
      cds_config: ads,
    },
    static_resources: {
      clusters: [cluster('xds-grpc', address(controlPort)), cluster('sds-grpc', { pipe: { path: sdsSocket } })],
    },
  };
}

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
      sds = await startSdsServer(sdsSocket, new StaticIdentity(identity));
      control = await startControlPlane();
      const path = join(directory, 'bootstrap.yaml');
      writeFileSync(path, JSON.stringify(bootstrap(apiType, control.port, await freePort(), sdsSocket)));
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
        const missing = () => notTaken(control, snapshot);
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
