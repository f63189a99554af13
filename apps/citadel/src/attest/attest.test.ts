// Attestation through the certificate service: tokens of an OIDC issuer, and certificates that renew themselves.

import { mkdir, unlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  CertificateClient,
  createKeyAndCsr,
  formatSpiffeId,
  parsePeerSpiffeId,
  readCertificates,
} from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { createTokenSigner, signServiceAccountToken, type TokenSigner } from '@lateen/identity/tokens';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Citadel } from '../pipeline.js';
import { CitadelTest, reviews } from '../testing/running-citadel.js';

let test: CitadelTest;
beforeEach(async () => {
  test = await CitadelTest.create();
});
afterEach(() => test.end());

const idOf = (chain: readonly string[]) => parsePeerSpiffeId(readCertificates(chain.join(''))[0]!.raw);
const REVIEWS = formatSpiffeId({ trustDomain: 'cluster.local', ...reviews });

/** An issuer as a cluster's API server is one. */
class Issuer {
  asked = 0;
  answer: 'well' | 'huge' | 'elsewhere' | 'away' = 'well';
  private constructor(
    readonly url: string,
    public signer: TokenSigner,
  ) {}

  static async start(): Promise<Issuer> {
    const server = createServer((request, response) => {
      issuer.asked++;
      if (issuer.answer === 'away') return response.writeHead(503).end();
      if (issuer.answer === 'elsewhere') return response.writeHead(302, { location: `${url}/jwks` }).end();
      if (issuer.answer === 'huge') return response.end(`{"keys": ["${'x'.repeat(2 * 1024 * 1024)}"]}`);
      const discovery = request.url === '/.well-known/openid-configuration';
      response.end(JSON.stringify(discovery ? { issuer: url, jwks_uri: `${url}/jwks` } : issuer.signer.jwks));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const issuer: Issuer = new Issuer(url, await createTokenSigner());
    test.closers.push(() => server.close());
    test.closers.push(() => server.closeAllConnections());
    return issuer;
  }

  token(changes: { audience?: string; issuer?: string; issuedAt?: Date } = {}): Promise<string> {
    return signServiceAccountToken(this.signer, { ...reviews, issuer: this.url, audience: 'lateen-ca', ...changes });
  }
}

describe('tokens of an OIDC issuer', () => {
  const start = (issuer: Issuer) =>
    test.start({ tokenKeyFile: undefined, oidc: [{ issuer: issuer.url, audience: 'lateen-ca' }] });

  it('are taken with the keys that the issuer publishes, for its audience only', async () => {
    const issuer = await Issuer.start();
    const citadel = await start(issuer);
    expect(idOf(await test.ask(citadel, { token: await issuer.token() }))).toBe(REVIEWS);
    await test.ask(citadel, { token: await issuer.token() });
    expect(issuer.asked).toBe(2); // discovery and keys, once
    const refused = async (token: string) => expect(test.ask(citadel, { token })).rejects.toThrow(/UNAUTHENTICATED/);
    await refused(await issuer.token({ audience: 'istio-ca' }));
    await refused(await issuer.token({ issuer: 'https://elsewhere.example' }));
    await refused(await issuer.token({ issuedAt: new Date(Date.now() - 7_200_000) }));
    await refused(await test.token()); // the supervisor's, whom nobody asked for
    expect((await test.auditLines())[0]).toMatchObject({ event: 'issued', attestor: 'oidc-token', pod: 'reviews-0' });
  });

  it('say that nobody can be told while the issuer was never reached', async () => {
    const issuer = await Issuer.start();
    for (const answer of ['away', 'elsewhere', 'huge'] as const) {
      issuer.answer = answer;
      const citadel = await start(issuer);
      await expect(test.ask(citadel, { token: await issuer.token() })).rejects.toThrow(
        /UNAVAILABLE.*cannot be fetched/,
      );
      await citadel.stop();
    }
  });

  it('are not taken from an issuer by plain HTTP', async () => {
    await expect(test.start({ oidc: [{ issuer: 'http://issuer.example', audience: 'a' }] })).rejects.toThrow(
      /must be https/,
    );
  });
});

describe('a certificate', () => {
  it('is renewed by showing it, for its own identity only', async () => {
    const citadel = await test.start();
    const mine = await test.identity(citadel);
    const chain = await test.ask(citadel, { client: mine });
    expect(idOf(chain)).toBe(REVIEWS);
    const other = formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'b', serviceAccount: 'admin' });
    const { csrPem } = await createKeyAndCsr({ spiffeId: other });
    await expect(test.ask(citadel, { client: mine, csrPem })).rejects.toThrow(/PERMISSION_DENIED/);
    expect((await test.auditLines())[1]).toMatchObject({ attestor: 'client-certificate', renews: mine.serial });
  });

  it('of a stranger, of another trust domain or without a proof of any kind is nobody', async () => {
    const citadel = await test.start();
    const stranger = await (await TestAuthority.create()).issue(reviews);
    await expect(test.ask(citadel, { client: stranger })).rejects.toThrow(/UNAUTHENTICATED/);
    await expect(test.ask(citadel, { client: undefined })).rejects.toThrow(/UNAUTHENTICATED/);
  });

  it('is not enough where each request needs a token', async () => {
    const citadel = await test.start({ renewal: false });
    const mine = await test.identity(citadel);
    await expect(test.ask(citadel, { client: mine })).rejects.toThrow(/UNAUTHENTICATED/);
  });

  it('serves a client whose token is gone or refused', async () => {
    const citadel: Citadel = await test.start();
    const directory = join(test.directory, 'pod');
    await mkdir(directory);
    const tokenFile = join(directory, 'token');
    await writeFile(tokenFile, await test.token());
    const client = new CertificateClient({
      citadelAddress: `127.0.0.1:${citadel.ports.grpc}`,
      tokenFile,
      rootCertFile: join(test.stateDir, 'root-cert.pem'),
      directory,
      trustDomain: 'cluster.local',
    });
    test.closers.push(() => client.stop());
    const first = await client.ready();
    await unlink(tokenFile);
    await client.renewNow();
    const second = client.current!;
    expect(second.serial).not.toBe(first.serial);
    await writeFile(tokenFile, 'refused');
    await client.renewNow();
    expect(client.current!.serial).not.toBe(second.serial);
    expect(client.current!.spiffeId).toBe(REVIEWS);
  });
});
