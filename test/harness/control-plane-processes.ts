// Test harness: Citadel, Galley and Pilot as real processes on free ports, and identities certified by that Citadel.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateClient, formatSpiffeId } from '@lateen/identity';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { type AppProcess, startApp } from './app-process.js';
import { freePort } from './free-port.js';
import { waitUntil } from './wait-until.js';

const TRUST_DOMAIN = 'cluster.local';
const SYSTEM_NAMESPACE = 'istio-system';

/** The SPIFFE id of one of the control plane's services. */
export function systemId(serviceAccount: string) {
  return formatSpiffeId({ trustDomain: TRUST_DOMAIN, namespace: SYSTEM_NAMESPACE, serviceAccount });
}

export class ControlPlaneProcesses {
  private readonly processes: AppProcess[] = [];
  private readonly identities: CertificateClient[] = [];
  private readonly directory = mkdtempSync(join(tmpdir(), 'lateen-control-plane-'));

  private constructor(
    private readonly signer: TokenSigner,
    private readonly citadelPort: number,
    /** Galley's admin API. */
    readonly galleyAdminPort: number,
    /** Pilot's xDS and workload registry. */
    readonly pilotPort: number,
  ) {}

  /** Starts all three, with a MeshConfig as YAML. They retry until they find each other. */
  static async start(pilotFlags: readonly string[] = [], meshConfig = ''): Promise<ControlPlaneProcesses> {
    const [citadel, galleyXds, galleyAdmin, pilot] = await Promise.all([
      freePort(),
      freePort(),
      freePort(),
      freePort(),
    ]);
    const plane = new ControlPlaneProcesses(await createTokenSigner(), citadel, galleyAdmin, pilot);
    try {
      plane.startCitadel();
      await waitUntil('the root certificate', () => readFileSync(plane.rootFile));
      const meshConfigFile = join(plane.directory, 'mesh.yaml');
      writeFileSync(meshConfigFile, meshConfig);
      await plane.startService('galley', [
        ...['--xds-port', String(galleyXds), '--admin-port', String(galleyAdmin), '--mesh-config', meshConfigFile],
      ]);
      await plane.startService('pilot', [
        ...['--galley-address', `127.0.0.1:${galleyXds}`, '--xds-port', String(pilot), '--admin-port', '0'],
        ...['--plaintext-port', '0', ...pilotFlags],
      ]);
      return plane;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  private get rootFile(): string {
    return join(this.directory, 'citadel', 'root-cert.pem');
  }

  private startCitadel(): void {
    const keys = join(this.directory, 'jwks.json');
    writeFileSync(keys, JSON.stringify(this.signer.jwks));
    const state = ['--state-dir', join(this.directory, 'citadel'), '--token-key', keys];
    const ports = ['--grpc-port', String(this.citadelPort), '--admin-port', '0', '--monitoring-port', '0'];
    this.processes.push(startApp('citadel', [...state, ...ports, '--log-level', 'warn']));
  }

  /** The flags by which a process that is not in this mesh yet gets its certificate. */
  async certificateFlags(serviceAccount: string, namespace: string): Promise<string[]> {
    const token = await this.writeToken(serviceAccount, namespace);
    return ['--citadel-address', `127.0.0.1:${this.citadelPort}`, '--token-file', token, '--root-cert', this.rootFile];
  }

  private async startService(name: string, flags: readonly string[]): Promise<void> {
    const app = startApp(name, [
      ...['--state-dir', join(this.directory, name), '--monitoring-port', '0', '--log-level', 'warn'],
      ...(await this.certificateFlags(name, SYSTEM_NAMESPACE)),
      ...flags,
    ]);
    this.processes.push(app);
  }

  private async writeToken(serviceAccount: string, namespace: string): Promise<string> {
    const file = join(this.directory, `${namespace}.${serviceAccount}.token`);
    writeFileSync(file, await signServiceAccountToken(this.signer, { namespace, serviceAccount }), { mode: 0o600 });
    return file;
  }

  /** A certified identity, as a workload or a client of the control plane has it. */
  async identity(serviceAccount: string, namespace = SYSTEM_NAMESPACE): Promise<CertificateClient> {
    const directory = join(this.directory, `${namespace}.${serviceAccount}`);
    mkdirSync(directory, { mode: 0o700 });
    const client = new CertificateClient({
      citadelAddress: `127.0.0.1:${this.citadelPort}`,
      tokenFile: await this.writeToken(serviceAccount, namespace),
      rootCertFile: this.rootFile,
      directory,
      trustDomain: TRUST_DOMAIN,
    });
    this.identities.push(client);
    await client.start();
    await waitUntil(`a certificate for ${namespace}/${serviceAccount}`, () => client.current);
    return client;
  }

  /** The first process that has ended by itself, with its last words; undefined while all are there. */
  ended(): string | undefined {
    const gone = this.processes.find(({ child }) => child.exitCode !== null || child.signalCode !== null);
    return gone && `a process ended: ${gone.output().slice(-3000)}`;
  }

  /** Resident memory of all of them in MiB, from the system. */
  rssMiB(): number {
    const pages = this.processes.map(({ child }) =>
      /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')),
    );
    return pages.reduce((sum, match) => sum + Number(match?.[1] ?? 0) / 1024, 0);
  }

  /** What the processes wrote, for a failure's message. */
  output(): string {
    return this.processes.map((app) => app.output().slice(-2000)).join('\n');
  }

  async stop(): Promise<void> {
    await Promise.all(this.identities.map((identity) => identity.stop()));
    await Promise.all(this.processes.map((app) => app.stop()));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
