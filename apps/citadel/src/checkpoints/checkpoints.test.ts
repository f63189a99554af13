// Checkpoints as a sidecar and an administrator meet them: gRPC over mutual TLS, and what is left after a restart.

import { X509Certificate } from 'node:crypto';
import { appendFile, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Client, type ServiceError } from '@grpc/grpc-js';
import { grpcChannelCredentials, StaticIdentity, type WorkloadIdentity } from '@lateen/identity';
import { createCheckpointVerifier, type PublishedCheckpoints } from '@lateen/identity/checkpoints';
import { CheckpointRequestSchema, CheckpointResponseSchema } from '@lateen/xds-proto/lateen/audit/v1/checkpoint_pb.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Citadel } from '../pipeline.js';
import { CITADEL_ID, CitadelTest, silent } from '../testing/running-citadel.js';
import { ChainHeads } from './chain-heads.js';
import { CHECKPOINT_FILE, CheckpointService } from './checkpoint-service.js';

let test: CitadelTest;
beforeEach(async () => {
  test = await CitadelTest.create();
});
afterEach(() => test.end());

const CHAIN = '0123456789abcdef';
const hash = (digit: string) => digit.repeat(64);
const asked = { chain: CHAIN, seq: 7, hash: hash('a'), records: 5, dropped: 1, node: 'reviews-0', file: 'audit.log' };

/** Resolves to the signature, rejects with gRPC's error. */
function sign(citadel: Citadel, identity: WorkloadIdentity, changes: Partial<typeof asked> = {}): Promise<string> {
  const { seq, records, dropped, ...rest } = { ...asked, ...changes };
  const request = { ...rest, seq: BigInt(seq), records: BigInt(records), dropped: BigInt(dropped) };
  const credentials = grpcChannelCredentials(new StaticIdentity(identity), { expectedSpiffeIds: [CITADEL_ID] });
  const client = new Client(`127.0.0.1:${citadel.ports.grpc}`, credentials);
  test.closers.push(() => client.close());
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      '/lateen.audit.v1.AuditCheckpoints/SignCheckpoint',
      (message: ReturnType<typeof create<typeof CheckpointRequestSchema>>) =>
        Buffer.from(toBinary(CheckpointRequestSchema, message)),
      (bytes: Buffer) => fromBinary(CheckpointResponseSchema, bytes),
      create(CheckpointRequestSchema, request),
      (error: ServiceError | null, response) => (error === null ? resolve(response?.jws ?? '') : reject(error)),
    );
  });
}

async function published(citadel: Citadel): Promise<PublishedCheckpoints> {
  const response = await test.admin(citadel, '/audit/checkpoints', { as: 'lateen-viewer' });
  return (await response.json()) as PublishedCheckpoints;
}

describe('a checkpoint', () => {
  it("is signed for the certificate's identity, published, and good after a restart and with another key", async () => {
    let citadel = await test.start();
    const identity = await test.identity(citadel);
    const first = await sign(citadel, identity);
    const head = { ...asked, workload: 'spiffe://cluster.local/ns/a/sa/reviews', time: expect.any(String) };
    expect((await published(citadel)).chains).toEqual([head]);
    const keyFile = join(test.stateDir, CHECKPOINT_FILE.key);
    expect((await stat(keyFile)).mode & 0o777).toBe(0o600);

    await citadel.stop();
    await rm(keyFile);
    citadel = await test.start();
    const second = await sign(citadel, identity, { seq: 9, hash: hash('b') });
    const { keys, chains } = await published(citadel);
    expect(keys).toHaveLength(2);
    expect(chains).toEqual([{ ...head, seq: 9, hash: hash('b') }]);
    const verify = createCheckpointVerifier({ keys });
    expect([await verify(first), await verify(second)]).toEqual([undefined, undefined]);
    expect(await verify(`${first.slice(0, -4)}AAAA`)).toBe('its signature is not good');
    expect(await createCheckpointVerifier({ keys: keys.slice(1) })(first)).toContain('has not published');
    expect(await readFile(keyFile, 'utf8')).toContain('PRIVATE KEY');
  });

  it('is for a chain of the own identity, goes forward only, and must be one', async () => {
    const citadel = await test.start();
    const reviews = await test.identity(citadel);
    const ratings = await test.identity(citadel, { namespace: 'a', serviceAccount: 'ratings' });
    const once = await sign(citadel, reviews);
    await expect(sign(citadel, ratings, { seq: 8 })).rejects.toThrow('PERMISSION_DENIED');
    await expect(sign(citadel, reviews, { seq: 6 })).rejects.toThrow('was signed up to record 7 already');
    await expect(sign(citadel, reviews, { hash: hash('b') })).rejects.toThrow('FAILED_PRECONDITION');
    await expect(sign(citadel, reviews, { chain: '../x' })).rejects.toThrow('INVALID_ARGUMENT');
    await expect(sign(citadel, reviews, { file: 'x'.repeat(600) })).rejects.toThrow('INVALID_ARGUMENT');
    // Whose answer was lost asks again.
    expect(await sign(citadel, reviews)).toBeTypeOf('string');
    expect(once).toBeTypeOf('string');
  });

  it('is refused without a certificate of the mesh that is valid now', async () => {
    const citadel = await test.start();
    const other = await test.start({ stateDir: join(test.directory, 'other') });
    const stranger = await test.identity(other);
    await expect(sign(citadel, { ...stranger, rootsPem: citadel.bundlePem() })).rejects.toThrow(
      'UNAUTHENTICATED: a verified client certificate is required',
    );
    // Also where certificates renew nothing.
    const strict = await test.start({ stateDir: join(test.directory, 'strict'), renewal: false });
    const identity = await test.identity(strict);
    expect(await sign(strict, identity)).toBeTypeOf('string');
    await expect(test.ask(strict, { token: undefined, client: identity } as never)).rejects.toThrow('UNAUTHENTICATED');
  });
});

describe('what is kept', () => {
  const lease = { epoch: 1, check: async () => undefined, release: async () => undefined };
  const head = (chain: string, seq: number, workload = 'w', time = '2026-01-01T00:00:00.000Z') => ({
    ...{ ...asked, chain, seq },
    ...{ workload, time },
  });

  it('is the last checkpoint of each chain, also after a crash in the middle of a line', async () => {
    const file = join(test.directory, 'heads');
    const heads = await ChainHeads.open({ file, lease });
    for (let seq = 1; seq <= 20; seq++) await heads.set(head(seq % 2 === 0 ? 'even' : 'odd', seq));
    await heads.close();
    await appendFile(file, '{"chain":"od');
    const again = await ChainHeads.open({ file, lease });
    expect(again.all).toEqual([head('odd', 19), head('even', 20)]);
    await again.close();
    expect((await readFile(file, 'utf8')).trimEnd().split('\n')).toHaveLength(2);
    await appendFile(file, '{"chain"\n');
    await expect(ChainHeads.open({ file, lease })).rejects.toThrow('heads:3 is damaged');
  });

  it('has an end: chains that were not signed for a month make room for others, younger ones do not', async () => {
    const heads = await ChainHeads.open({ file: join(test.directory, 'heads'), lease, maxChainsOfWorkload: 2 });
    const now = Date.parse('2026-01-20T00:00:00Z');
    await heads.set(head('a', 1));
    await heads.set(head('b', 1, 'w', '2026-01-19T00:00:00.000Z'));
    expect(heads.makeRoom('w', now)).toBe(false);
    expect(heads.makeRoom('v', now)).toBe(true);
    expect(heads.makeRoom('w', now + 15 * 24 * 3600 * 1000)).toBe(true);
    expect(heads.all.map(({ chain }) => chain)).toEqual(['b']);
    await heads.close();
  });

  it('is asked for so often and no more', async () => {
    const citadel = await test.start({ stateDir: join(test.directory, 'first') });
    const { certChainPem } = await test.identity(citadel);
    const service = await CheckpointService.open({
      ...{ stateDir: test.directory, trustDomain: 'cluster.local', passphrase: 'secret', lease, logger: silent },
      limits: { take: () => 'identity' },
    });
    const clientCertificate = new X509Certificate(certChainPem).raw;
    await expect(service.sign({ ...asked, clientCertificate })).rejects.toThrow('rate limit of checkpoints');
    await expect(service.sign({ ...asked, clientCertificate: undefined })).rejects.toThrow('is required');
    await service.close();
    expect(await readFile(join(test.directory, CHECKPOINT_FILE.key), 'utf8')).toContain('ENCRYPTED');
  });
});
