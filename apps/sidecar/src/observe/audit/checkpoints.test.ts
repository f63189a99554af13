// Checkpoints in an audit log: signed as it grows and when it ends; what was signed and is gone shows.

import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checkpoint, createCheckpointVerifier, signCheckpoint } from '@lateen/identity/checkpoints';
import { AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../../data-plane.js';
import { compileAuditFormat } from './audit-format.js';
import { AuditLog } from './audit-log.js';
import type { SignCheckpoint } from './checkpoint-client.js';

const FORMAT = compileAuditFormat({ type: 'request', path: '%REQ(:PATH)%' });
const WORKLOAD = 'spiffe://t/ns/a/sa/b';
const NODE = 'b-0';

let directory: string;
let file: string;
let citadel: TestCitadel;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-audit-'));
  file = join(directory, 'audit.log');
  citadel = new TestCitadel();
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Signs whatever it is asked, and remembers it. */
class TestCitadel {
  readonly chains = new Map<string, Checkpoint>();
  isAway = false;
  private readonly pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  private readonly key = { privateKey: this.pair.privateKey, keyId: 'k' };

  readonly sign: SignCheckpoint = (head) => {
    if (this.isAway) return Promise.reject(new Error('nobody answers'));
    const checkpoint = { ...head, workload: WORKLOAD, node: NODE, time: new Date().toISOString() };
    this.chains.set(head.chain, checkpoint);
    return signCheckpoint(checkpoint, this.key);
  };

  get published() {
    const keys = [{ ...this.pair.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256' }] as never;
    return { verify: createCheckpointVerifier({ keys }), chains: [...this.chains.values()] };
  }
}

const unsigned: string[] = [];

function open(intervalMs = 3_600_000): AuditLog {
  unsigned.length = 0;
  return new AuditLog({
    path: file,
    writer: () => ({ workload: WORKLOAD, node: NODE }),
    onError: (reason) => {
      throw new Error(reason);
    },
    signCheckpoint: citadel.sign,
    onUnsigned: (reason) => unsigned.push(reason),
    checkpointIntervalMs: intervalMs,
  });
}

function take(log: AuditLog, requests: number): void {
  const none = () => undefined;
  for (let index = 0; index < requests; index++) {
    const record = { path: `/${index}`, requestHeader: none, responseHeader: none, metadata: none };
    log.take(FORMAT, record as unknown as AccessLogRecord);
  }
}

/** A log of so many requests; the process is killed, or ends. */
async function writeChain(requests: number): Promise<void> {
  const log = open();
  take(log, requests);
  await log.close();
}

const linesOf = () => readFileSync(file, 'utf8').trimEnd().split('\n');
const write = (lines: readonly string[]) => writeFileSync(file, `${lines.join('\n')}\n`);

async function verify(openAllowed = false, published: TestCitadel['published'] | undefined = citadel.published) {
  const verifier = new AuditVerifier(published);
  await verifier.file(file);
  const { chains, problems } = await verifier.report(openAllowed);
  return { chains, messages: problems.map(({ line, message }) => `${line}: ${message}`) };
}

describe('a log', () => {
  it('is signed while it grows, and again when there is something new, and when it ends', async () => {
    const log = open(5);
    take(log, 3);
    const through = () => linesOf().flatMap((line) => JSON.parse(line).through ?? []);
    await expect.poll(() => through().length).toBe(1);
    take(log, 3);
    await expect.poll(() => through().length).toBe(2);
    await log.close();
    const records = linesOf().map((line) => JSON.parse(line));
    expect(records.at(-2)).toMatchObject({ type: 'end', records: 6 });
    expect(records.at(-1)).toMatchObject({ type: 'checkpoint', through: records.at(-2).seq });
    const { chains, messages } = await verify();
    expect(messages).toEqual([]);
    expect(chains).toMatchObject([{ records: 6, ended: true, signedSeq: records.length - 1, unsigned: 0 }]);
  });

  it('goes on while nobody signs, and is signed once somebody does', async () => {
    citadel.isAway = true;
    const log = open(5);
    take(log, 3);
    await expect.poll(() => unsigned).toEqual(['nobody answers']);
    take(log, 3);
    await expect.poll(() => linesOf().length).toBe(7);
    expect(await verify(true)).toMatchObject({ chains: [{ records: 6, signedSeq: 0, unsigned: 7 }], messages: [] });
    citadel.isAway = false;
    await expect.poll(async () => (await verify(true)).chains[0]?.unsigned).toBe(0);
    expect(unsigned).toHaveLength(1);
    await log.close();
    expect(await verify()).toMatchObject({ chains: [{ records: 6, ended: true, unsigned: 0 }], messages: [] });
  });

  it('ends also where nobody signs', async () => {
    citadel.isAway = true;
    await writeChain(2);
    expect(await verify()).toMatchObject({ chains: [{ ended: true, signedSeq: 0, unsigned: 4 }], messages: [] });
  });
});

describe('what is done to a log that was signed', () => {
  // start, 5 requests, end, checkpoint
  beforeEach(() => writeChain(5));

  it.each([1, 3, 6])('is a tail cut off behind line %i, of a process that may run', async (left) => {
    write(linesOf().slice(0, left));
    const { messages } = await verify(true);
    expect(messages).toEqual([
      expect.stringMatching(new RegExp(`^${left}: chain \\w+ was cut off: Citadel has signed its record 7 at .*`)),
    ]);
  });

  it('is nothing where only the last checkpoint is cut off: the end is there', async () => {
    write(linesOf().slice(0, 7));
    expect(await verify()).toMatchObject({ chains: [{ signedSeq: 7 }], messages: [] });
  });

  it('is the last chain removed as a whole', async () => {
    await writeChain(2);
    write(linesOf().slice(0, 8));
    const { messages } = await verify();
    expect(messages).toEqual([expect.stringContaining('of the same log is missing as a whole')]);
  });

  it('is a checkpoint that somebody else has signed, or none at all', async () => {
    const stranger = new TestCitadel().published;
    expect((await verify(false, stranger)).messages).toEqual([
      expect.stringContaining('is not signed by Citadel: its signature is not good'),
    ]);
    expect((await verify(false, undefined)).messages).toEqual([]);
  });

  it('is a record written anew, with all hashes behind it', async () => {
    const { AuditChain } = await import('@lateen/telemetry/audit/chain.js');
    const lines = linesOf();
    const forge = (end: number) => {
      const chain = new AuditChain();
      const records = lines.slice(0, end).map((line) => JSON.parse(line));
      Object.assign(chain, { id: records[0].chain });
      return records.map(({ seq, chain: _id, prev: _prev, hash: _hash, ...members }) => {
        const changed = seq === 3 ? { ...members, path: '/forged' } : members;
        return chain.seal(JSON.stringify(changed).slice(1, -1)).trimEnd();
      });
    };
    write(forge(8));
    const { messages } = await verify();
    expect(messages).toContainEqual(expect.stringContaining('has another record 7 than is there'));
    expect(messages).toContainEqual(expect.stringContaining('7 of chain'));
    write(forge(7));
    expect((await verify()).messages).toEqual([expect.stringContaining('is not the one that Citadel has signed')]);
  });
});
