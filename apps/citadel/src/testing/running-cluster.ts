// Tests: Citadels of one cluster, whose API server is played in this process.

import { type ConfigMap, resourceTypes, type Secret, type TokenReview } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import type { Citadel, CitadelOptions } from '../pipeline.js';
import { CitadelTest } from './running-citadel.js';

export const SYSTEM = 'istio-system';
const SOON = { leaseDurationMs: 1_500, renewDeadlineMs: 1_000, retryPeriodMs: 100 };

/** A token as the API server of the test knows it. */
export interface KnownToken {
  readonly username: string;
  readonly audiences: readonly string[];
  readonly pod?: { readonly name: string; readonly uid: string };
}

export class ClusterTest {
  readonly tokens = new Map<string, KnownToken>();
  reviews = 0;

  private constructor(
    readonly api: FakeApiServer,
    readonly citadel: CitadelTest,
  ) {}

  static async create(): Promise<ClusterTest> {
    const test = new ClusterTest(await FakeApiServer.start(), await CitadelTest.create());
    test.api.intercept = (request, response, url) => {
      if (url.pathname !== '/apis/authentication.k8s.io/v1/tokenreviews') return false;
      test.reviews++;
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        const review = JSON.parse(Buffer.concat(chunks).toString()) as TokenReview;
        response.writeHead(201, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ ...review, status: test.#statusOf(review) }));
      });
      return true;
    };
    test.namespace(SYSTEM);
    return test;
  }

  /** Starts one replica. It keeps nothing on disk. */
  start(podName: string, changes: Partial<CitadelOptions> = {}): Promise<Citadel> {
    return this.citadel.start({
      stateDir: undefined,
      tokenKeyFile: undefined,
      rotationSettleMs: 100,
      cluster: { client: this.api.client(), podName, revision: 'default', ...SOON },
      ...changes,
    });
  }

  /** A token for a service account, which the API server takes unless told otherwise. */
  token(
    namespace: string,
    serviceAccount: string,
    changes: Partial<KnownToken> & { exp?: number; aud?: string } = {},
  ): string {
    const { exp = Math.floor(Date.now() / 1000) + 3600, aud = 'istio-ca', ...known } = changes;
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const token = `${part({ alg: 'RS256' })}.${part({ aud: [aud], exp, iss: 'https://kubernetes.default.svc' })}.${this.tokens.size}x`;
    const username = `system:serviceaccount:${namespace}:${serviceAccount}`;
    this.tokens.set(token, { username, audiences: ['istio-ca'], ...known });
    return token;
  }

  namespace(name: string): void {
    this.api.put(resourceTypes.namespaces, { metadata: { name }, status: { phase: 'Active' } });
  }

  secret(name: string): Secret | undefined {
    return this.api.get(resourceTypes.secrets, SYSTEM, name);
  }

  /** The text of a key of the root's Secret. */
  rootSecret(key: string): string {
    return Buffer.from(this.secret('istio-ca-secret')?.data?.[key] ?? '', 'base64').toString();
  }

  bundle(namespace: string): string | undefined {
    const configMap: ConfigMap | undefined = this.api.get(resourceTypes.configMaps, namespace, 'istio-ca-root-cert');
    return configMap?.data?.['root-cert.pem'];
  }

  /** The replica that writes, as the Lease says. */
  leader(): string | undefined {
    return this.api.get(resourceTypes.leases, SYSTEM, 'lateen-citadel')?.spec?.holderIdentity;
  }

  async end(): Promise<void> {
    await this.citadel.end();
    await this.api.stop();
  }

  #statusOf({ spec }: TokenReview): TokenReview['status'] {
    const known = this.tokens.get(spec.token);
    const audiences = spec.audiences?.filter((each) => known?.audiences.includes(each)) ?? [];
    if (known === undefined || audiences.length === 0) return { error: 'invalid bearer token' };
    const { username, pod } = known;
    const extra: Record<string, readonly string[]> =
      pod === undefined
        ? {}
        : {
            'authentication.kubernetes.io/pod-name': [pod.name],
            'authentication.kubernetes.io/pod-uid': [pod.uid],
          };
    return { authenticated: true, audiences, user: { username, extra } };
  }
}
