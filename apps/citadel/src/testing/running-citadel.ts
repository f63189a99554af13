// Tests: Citadels with their state in a temporary directory, tokens that they take, and what they sign.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyAndCsr, identityFromPem, MtlsAgent, mtlsFetch, StaticIdentity } from '@lateen/identity';
import { type CertificateCall, requestCertificate } from '@lateen/identity/certificate-call';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { createLogger, type Logger } from '@lateen/telemetry';
import { type Citadel, type CitadelOptions, startCitadel } from '../pipeline.js';

export const silent: Logger = createLogger('citadel', 'silent');
export const reviews = { namespace: 'a', serviceAccount: 'reviews', podName: 'reviews-0' };
export const CITADEL_ID = 'spiffe://cluster.local/ns/istio-system/sa/citadel' as never;

export class CitadelTest {
  readonly closers: (() => Promise<unknown> | unknown)[] = [];

  private constructor(
    readonly directory: string,
    readonly signer: TokenSigner,
  ) {}

  static async create(): Promise<CitadelTest> {
    const directory = await mkdtemp(join(tmpdir(), 'lateen-citadel-'));
    const signer = await createTokenSigner();
    await writeFile(join(directory, 'jwks.json'), JSON.stringify(signer.jwks));
    return new CitadelTest(directory, signer);
  }

  get stateDir(): string {
    return join(this.directory, 'state');
  }

  async start(changes: Partial<CitadelOptions> = {}): Promise<Citadel> {
    const citadel = await startCitadel({
      address: '127.0.0.1',
      stateDir: this.stateDir,
      grpcPort: 0,
      adminPort: 0,
      monitoringPort: 0,
      trustDomain: 'cluster.local',
      tokenKeyFile: join(this.directory, 'jwks.json'),
      tokenAudience: 'istio-ca',
      tokenIssuer: 'lateen-local',
      renewal: true,
      workloadTtl: { defaultSeconds: 3600, minSeconds: 1, maxSeconds: 3600 },
      rootTtlSeconds: 24 * 3600,
      rootKeyType: 'ecdsa-p256',
      limits: { identity: { perSecond: 20, burst: 200 }, total: { perSecond: 500, burst: 2000 } },
      version: 'test',
      logger: silent,
      onFailure: (error) => {
        throw error;
      },
      ...changes,
    });
    let stopped: Promise<void> | undefined;
    const stop = () => {
      stopped ??= citadel.stop();
      return stopped;
    };
    this.closers.push(stop);
    return { ...citadel, stop };
  }

  /** Asks for a certificate of `a/reviews`, unless told otherwise. */
  async ask(citadel: Citadel, call: Partial<CertificateCall> = {}): Promise<string[]> {
    return requestCertificate({
      address: `127.0.0.1:${citadel.ports.grpc}`,
      token: 'client' in call ? undefined : await this.token(),
      rootsPem: citadel.bundlePem(),
      serverSpiffeId: CITADEL_ID,
      csrPem: (await createKeyAndCsr()).csrPem,
      validitySeconds: 0,
      ...call,
    });
  }

  token(account: { namespace: string; serviceAccount: string; podName?: string } = reviews): Promise<string> {
    return signServiceAccountToken(this.signer, account);
  }

  /** A certified identity that does not renew itself. */
  async identity(
    citadel: Citadel,
    account: { namespace: string; serviceAccount: string; podName?: string } = reviews,
    validitySeconds = 0,
  ) {
    const { keyPem, csrPem } = await createKeyAndCsr();
    const chain = await this.ask(citadel, { token: await this.token(account), csrPem, validitySeconds });
    return identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem: citadel.bundlePem() });
  }

  /** As `identity`, by any token. */
  async identityBy(citadel: Citadel, token: string) {
    const { keyPem, csrPem } = await createKeyAndCsr();
    const chain = await this.ask(citadel, { token, csrPem });
    return identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem: citadel.bundlePem() });
  }

  /** Calls the admin API as a service account of the control plane. */
  async admin(citadel: Citadel, path: string, { as = 'lateen-admin', method = 'GET' } = {}): Promise<Response> {
    // Short, so that no rotation waits for it.
    const identity = await this.identity(citadel, { namespace: 'istio-system', serviceAccount: as }, 2);
    return this.adminAs(citadel, identity, path, method);
  }

  /** Calls the admin API with a certificate. */
  async adminAs(
    citadel: Citadel,
    pem: { keyPem: string; certChainPem: string },
    path: string,
    method = 'GET',
  ): Promise<Response> {
    const identity = identityFromPem({ ...pem, rootsPem: citadel.bundlePem() });
    const agent = new MtlsAgent({ source: new StaticIdentity(identity), expectedSpiffeIds: [CITADEL_ID] });
    this.closers.push(() => agent.destroy());
    return mtlsFetch(agent)(`https://127.0.0.1:${citadel.ports.admin}${path}`, { method });
  }

  async auditLines(): Promise<Record<string, unknown>[]> {
    const text = await readFile(join(this.stateDir, 'audit.log'), 'utf8');
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  }

  async metric(citadel: Citadel, name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${citadel.ports.monitoring}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  }

  async end(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close();
    await rm(this.directory, { recursive: true });
  }
}
