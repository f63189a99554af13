// Contract between translation and proxy: a real sidecar takes every golden case of packages/translate: each resource is
// acknowledged and in effect. Cases that hold what Galley refuses are left out; these are listed here by name.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { TYPE_URL } from '@lateen/xds-proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { adsBootstrap } from '../harness/ads-bootstrap.js';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { type ControlPlane, startControlPlane } from '../harness/control-plane.js';
import { freePort } from '../harness/free-port.js';
import { notTaken } from '../harness/not-taken.js';
import { waitUntil } from '../harness/wait-until.js';
import { type GoldenSnapshot, goldenSnapshots } from './golden-snapshots.js';

/** What never comes to a proxy, since Galley refuses it: fields that are not acted on yet. */
const REFUSED_BY_GALLEY = ['access-log-filter', 'telemetry-custom-metric'];
const goldens = goldenSnapshots();

/** A sidecar with a certificate of its own and no Citadel, and the control plane that it takes everything from. */
class ServedSidecar {
  private constructor(
    readonly control: ControlPlane,
    private readonly app: AppProcess,
    private readonly adminPort: number,
    private readonly directory: string,
  ) {}

  static async start(apiType: 'GRPC' | 'DELTA_GRPC'): Promise<ServedSidecar> {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-contract-'));
    const stateDir = join(directory, 'state');
    const authority = await TestAuthority.create();
    await storeIdentity(stateDir, await authority.issue({ namespace: 'default', serviceAccount: 'client' }));
    writeFileSync(join(directory, 'token'), 'none');
    writeFileSync(join(directory, 'root-cert.pem'), authority.rootsPem);
    const control = await startControlPlane();
    const adminPort = await freePort();
    writeFileSync(
      join(directory, 'bootstrap.json'),
      JSON.stringify(adsBootstrap({ apiType, controlPort: control.port, adminPort })),
    );
    const app = startApp('sidecar', [
      ...['--config-path', join(directory, 'bootstrap.json'), '--state-dir', stateDir, '--log-level', 'warn'],
      ...['--citadel-address', '127.0.0.1:1', '--token-file', join(directory, 'token')],
      ...['--root-cert', join(directory, 'root-cert.pem')],
    ]);
    return new ServedSidecar(control, app, adminPort, directory);
  }

  /** Serves a case and waits until the sidecar has all of it, or refused something. */
  async take({ name, snapshot }: GoldenSnapshot): Promise<void> {
    const { control, app } = this;
    control.nacks.length = 0;
    control.publish(snapshot);
    const missing = () => notTaken(control.types(), snapshot);
    try {
      await waitUntil(`the sidecar to take ${name}`, () => control.nacks.length > 0 || missing().length === 0);
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${missing().join('; ')}\n${app.output().slice(-2000)}`);
    }
    expect(control.nacks).toEqual([]);
  }

  /** Names of what is in effect, by type. */
  async inEffect(): Promise<Record<string, readonly string[]>> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/config_dump?include_eds`);
    const { configs } = (await response.json()) as { configs: Record<string, unknown>[] };
    const names = (list: string, key: string) =>
      configs
        .flatMap((config) => (config[list] as Record<string, Record<string, string>>[]) ?? [])
        .flatMap((entry) => {
          const value = entry[key] ?? {};
          return [value.name ?? value.cluster_name ?? ''];
        });
    const listeners = configs.flatMap(
      (config) => (config.dynamic_listeners as { name: string; active_state?: object }[]) ?? [],
    );
    return {
      clusters: names('dynamic_active_clusters', 'cluster').sort(),
      endpoints: names('dynamic_endpoint_configs', 'endpoint_config').sort(),
      listeners: listeners
        .filter(({ active_state: active }) => active !== undefined)
        .map(({ name }) => name)
        .sort(),
      routes: names('dynamic_route_configs', 'route_config').sort(),
    };
  }

  async stop(): Promise<void> {
    this.control.stop();
    await this.app.stop('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

test('the cases that are left out are those that Galley refuses', () => {
  const refused = goldens.filter(({ refusedByGalley }) => refusedByGalley.length > 0);
  expect(refused.map(({ name }) => name)).toEqual(REFUSED_BY_GALLEY);
});

describe.each(['GRPC', 'DELTA_GRPC'] as const)('a sidecar (%s), served one case after another, takes', (apiType) => {
  let sidecar: ServedSidecar;
  beforeAll(async () => {
    sidecar = await ServedSidecar.start(apiType);
  });
  afterAll(() => sidecar.stop());

  const served = goldens.filter(({ name }) => !REFUSED_BY_GALLEY.includes(name));
  test.each(served.map((golden) => [golden.name, golden] as const))('%s', async (_name, golden) => {
    await sidecar.take(golden);
    const { resources } = golden.snapshot;
    const names = (typeUrl: string) => [...(resources.get(typeUrl)?.keys() ?? [])].sort();
    await expect
      .poll(() => sidecar.inEffect(), { timeout: 10_000 })
      .toEqual({
        clusters: names(TYPE_URL.cluster),
        endpoints: names(TYPE_URL.endpoint),
        listeners: names(TYPE_URL.listener),
        routes: names(TYPE_URL.route),
      });
  });
});
