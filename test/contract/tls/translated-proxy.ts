// Contract tests of TLS: one real sidecar, or a stock Envoy, that is served what YAML translates to: documents are validated, translated, sent by ADS.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { parseDocuments } from '@lateen/istio-config';
import { buildSnapshot, type Problem, resolveProxyView, TranslationCache } from '@lateen/translate';
import { TYPE_URL } from '@lateen/xds-proto';
import { proxyOf, readMesh } from '../../../packages/translate/test/mesh-fixture.js';
import { adsBootstrap } from '../../harness/ads-bootstrap.js';
import { type AppProcess, startApp, startProgram } from '../../harness/app-process.js';
import { type ControlPlane, startControlPlane } from '../../harness/control-plane.js';
import { freePort } from '../../harness/free-port.js';
import { waitUntil } from '../../harness/wait-until.js';

/** Types of which a proxy takes everything, and not what something else names. */
const WHOLE_TYPES: ReadonlySet<string> = new Set([TYPE_URL.cluster, TYPE_URL.listener]);

export interface TranslatedProxyOptions {
  /** `NAME.NAMESPACE` of a Pod of the documents. */
  readonly pod: string;
  /** Environment variables of the sidecar, besides this process's. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A stock Envoy takes the place of the sidecar. */
  readonly envoyPath?: string;
  /** Authority of the mesh; the sidecar's own certificate is of it. */
  readonly authority?: TestAuthority;
}

export class TranslatedProxy {
  private version = 0;

  private constructor(
    private readonly options: TranslatedProxyOptions,
    readonly control: ControlPlane,
    readonly app: AppProcess,
    readonly adminPort: number,
    readonly directory: string,
  ) {}

  static async start(options: TranslatedProxyOptions): Promise<TranslatedProxy> {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-translated-'));
    const state = join(directory, 'state');
    const authority = options.authority ?? (await TestAuthority.create());
    const namespace = options.pod.slice(options.pod.lastIndexOf('.') + 1);
    await storeIdentity(state, await authority.issue({ namespace, serviceAccount: 'proxy' }));
    writeFileSync(join(directory, 'token'), 'none');
    writeFileSync(join(directory, 'root-cert.pem'), authority.rootsPem);
    const control = await startControlPlane();
    if (options.envoyPath !== undefined)
      return TranslatedProxy.startEnvoy(options, options.envoyPath, control, directory);
    const adminPort = await freePort();
    const bootstrap = adsBootstrap({ apiType: 'DELTA_GRPC', controlPort: control.port, adminPort });
    writeFileSync(join(directory, 'bootstrap.json'), JSON.stringify(bootstrap));
    const app = startApp(
      'sidecar',
      [
        ...['--config-path', join(directory, 'bootstrap.json'), '--state-dir', state, '--log-level', 'info'],
        ...['--citadel-address', '127.0.0.1:1', '--token-file', join(directory, 'token')],
        ...['--root-cert', join(directory, 'root-cert.pem')],
      ],
      options.environment,
    );
    return new TranslatedProxy(options, control, app, adminPort, directory);
  }

  /** With nothing of its own host: no certificate of the mesh, and no files. */
  private static async startEnvoy(
    options: TranslatedProxyOptions,
    path: string,
    control: ControlPlane,
    directory: string,
  ): Promise<TranslatedProxy> {
    const adminPort = await freePort();
    const bootstrap = adsBootstrap({ apiType: 'DELTA_GRPC', controlPort: control.port, adminPort });
    writeFileSync(join(directory, 'bootstrap.json'), JSON.stringify(bootstrap));
    const flags = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '--drain-time-s', '1'];
    const app = startProgram(path, ['-c', join(directory, 'bootstrap.json'), ...flags], options.environment);
    return new TranslatedProxy(options, control, app, adminPort, directory);
  }

  /**
   * Serves what the documents translate to and waits until the sidecar has taken it. What Galley would refuse fails.
   * Returns what translation warns of.
   */
  async serve(documents: string): Promise<readonly Problem[]> {
    const { control } = this;
    refuseInvalid(documents);
    const input = readMesh(documents);
    const view = resolveProxyView(
      buildSnapshot(input),
      proxyOf(input, this.options.pod, this.options.envoyPath === undefined ? {} : { LATEEN_VERSION: '' }),
      true,
    );
    const { resources, faults, problems } = new TranslationCache().translate(view);
    if (faults.length > 0) throw new Error(faults.map(({ message }) => message).join('\n'));
    this.version += 1;
    control.nacks.length = 0;
    control.publish({ version: `v${this.version}`, resources });
    await waitUntil('the sidecar to take what it is served', () => {
      if (control.nacks.length > 0) return true;
      const types = control.types();
      // A stock Envoy asks for listeners once its clusters are there.
      const subscribed = [...WHOLE_TYPES].every((wanted) => types.some(({ typeUrl }) => typeUrl === wanted));
      return (
        subscribed &&
        types.every(({ typeUrl, status, resources: held }) => {
          const wanted = resources.get(typeUrl) ?? new Map<string, { readonly version: string }>();
          const same = [...held].every(([name, { version }]) => wanted.get(name)?.version === version);
          const complete = !WHOLE_TYPES.has(typeUrl) || held.size === wanted.size;
          return status === 'SYNCED' && same && complete;
        })
      );
    });
    if (control.nacks.length > 0) throw new Error(`refused: ${control.nacks.join('; ')}`);
    await waitUntil('the listeners to be in effect', async () => {
      const response = await fetch(`http://127.0.0.1:${this.adminPort}/config_dump`);
      return response.ok && !(await response.text()).includes('"warming_state"');
    });
    return problems;
  }

  async stop(): Promise<void> {
    // Envoy takes its time to drain.
    await this.app.stop(this.options.envoyPath === undefined ? 'SIGTERM' : 'SIGKILL');
    this.control.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** The documents of a case mix those of Istio, which Galley checks, with pods and services of the fixture. */
function refuseInvalid(documents: string): void {
  const errors = documents.split(/^---$/m).flatMap((document) => {
    if (!/^apiVersion:.*istio\.io/m.test(document)) return [];
    const { problems } = parseDocuments([{ name: 'in.yaml', content: document }], { defaultNamespace: 'default' });
    return problems.filter(({ severity }) => severity === 'error');
  });
  if (errors.length > 0) throw new Error(errors.map(({ path, message }) => `${path}: ${message}`).join('\n'));
}
