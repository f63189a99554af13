// Audit log of a sidecar: every request is in it or counted, and what is done to the file afterwards shows.

import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuditReport, AuditVerifier } from '@lateen/telemetry/audit/verify.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AccessLogRecord } from '../../data-plane.js';
import { compileAuditFormat } from './audit-format.js';
import { AuditLog, type AuditLogOptions } from './audit-log.js';

const FORMAT = compileAuditFormat({
  type: 'request',
  principal: '%DOWNSTREAM_PEER_URI_SAN%',
  path: '%REQ(:PATH):16%',
  policy: '%DYNAMIC_METADATA(envoy.filters.http.rbac:enforced_effective_policy_id)%',
  status: '%RESPONSE_CODE%',
});

let directory: string;
let file: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-audit-'));
  file = join(directory, 'audit.log');
});
afterEach(() => rmSync(directory, { recursive: true }));

function request(path: string, changes: Partial<AccessLogRecord> = {}): AccessLogRecord {
  const none = () => undefined;
  const record = { path, responseCode: 200, requestHeader: none, responseHeader: none, metadata: none, ...changes };
  return record as unknown as AccessLogRecord;
}

/** What policies noted of a request. */
const noted = (result: string, policy: string) => ({
  metadata: (name: string) => (name.endsWith(':enforced_engine_result') ? result : policy),
});

function open(options: Partial<AuditLogOptions> = {}): AuditLog {
  const onError = (reason: string) => {
    throw new Error(reason);
  };
  return new AuditLog({ path: file, writer: () => ({ workload: 'spiffe://t/ns/a/sa/b' }), onError, ...options });
}

async function writeChain(requests: number, options: Partial<AuditLogOptions> = {}): Promise<void> {
  const log = open(options);
  for (let index = 0; index < requests; index++) log.take(FORMAT, request(`/${index}`));
  await log.close();
}

async function verify(openAllowed = false): Promise<AuditReport> {
  const verifier = new AuditVerifier();
  // Files put aside have a time behind their name, the present one has none and comes last.
  const names = readdirSync(directory).sort((a, b) => b.length - a.length || (a < b ? -1 : 1));
  for (const name of names) await verifier.file(join(directory, name));
  return await verifier.report(openAllowed);
}

const linesOf = () => readFileSync(file, 'utf8').trimEnd().split('\n');
const write = (lines: readonly string[]) => writeFileSync(file, `${lines.join('\n')}\n`);
const messages = ({ problems }: AuditReport) => problems.map(({ line, message }) => `${line}: ${message}`).join('\n');

describe('records', () => {
  it('are all there, in one chain that ends', async () => {
    await writeChain(300);
    const { chains, problems } = await verify();
    expect(problems).toEqual([]);
    expect(chains).toMatchObject([{ records: 300, dropped: 0, ended: true, workload: 'spiffe://t/ns/a/sa/b' }]);
  });

  it('say who, what and how it was decided; nothing that a client writes can look like another record', async () => {
    const log = open();
    const policy = 'ns[a]-policy[deny]-rule[0]';
    log.take(FORMAT, request('/a\r\n{"x":\u0085\u2028"', { downstreamPeerUriSan: 'spiffe://t/ns/a/sa/c' }));
    const details = `rbac_access_denied_matched_policy[${policy}]`;
    const denied = { responseCode: 403, responseCodeDetails: details, ...noted('denied', policy) };
    log.take(FORMAT, request('/0123456789abcdefghij', denied));
    log.take(
      FORMAT,
      request('/b', { responseCode: 401, responseCodeDetails: 'jwt_authn_access_denied{Jwt_is_missing}' }),
    );
    log.take(FORMAT, request('/c', noted('allowed', 'allow')));
    log.take(FORMAT, request('', { connectionTerminationDetails: details, ...noted('denied', policy) }));
    await log.close();
    expect((await verify()).problems).toEqual([]);
    const lines = linesOf();
    expect(lines[1]).toContain('/a\\r\\n{\\"x\\":\\u0085');
    const records = lines.map((line) => JSON.parse(line));
    expect(records).toMatchObject([
      { seq: 1, type: 'start' },
      { type: 'request', principal: 'spiffe://t/ns/a/sa/c', path: '/a\r\n{"x":\u0085\u2028"', decision: 'none' },
      { path: '/0123456789abcde', status: 403, decision: 'denied', policy },
      { path: '/b', decision: 'denied' },
      { path: '/c', decision: 'allowed', policy: 'allow' },
      { decision: 'denied', policy },
      { seq: 7, type: 'end', records: 5 },
    ]);
    expect(records[3]).not.toHaveProperty('policy');
  });

  it('that have no room are counted in the chain: records and drops are all requests', async () => {
    const log = open({ maxWaiting: 10 });
    for (let index = 0; index < 25; index++) log.take(FORMAT, request(`/${index}`));
    expect(log.dropped).toBe(15);
    await log.close();
    const { chains, problems } = await verify();
    expect(problems).toEqual([]);
    expect(chains).toMatchObject([{ records: 10, dropped: 15 }]);
    const dropped = linesOf()
      .map((line) => JSON.parse(line))
      .filter(({ type }) => type === 'dropped');
    expect(dropped).toMatchObject([{ count: 15, from: expect.any(String), to: expect.any(String) }]);
  });

  it('go on in the next file where one is full, in the same chain', async () => {
    const log = open({ maxFileBytes: 2_000 });
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 64; index++) log.take(FORMAT, request(`/${index}`));
      const wanted = 64 * (round + 1);
      await expect.poll(async () => (await verify(true)).chains[0]?.records).toBe(wanted);
    }
    await log.close();
    expect(readdirSync(directory).length).toBeGreaterThan(1);
    const { chains, problems } = await verify();
    expect(problems).toEqual([]);
    expect(chains).toMatchObject([{ records: 192, ended: true }]);
  });

  it('wait for a file that cannot be written, and those beyond the bound are counted', async () => {
    const reasons: string[] = [];
    const late = join(directory, 'late');
    const log = open({ path: join(late, 'audit.log'), maxWaiting: 70, onError: (reason) => reasons.push(reason) });
    for (let index = 0; index < 80; index++) log.take(FORMAT, request(`/${index}`));
    await expect.poll(() => reasons).toHaveLength(1);
    await log.close();
    expect(log.dropped).toBe(10);
    expect(reasons.at(-1)).toBe('70 records are lost at the end');
  });

  it('and drops are all requests, exactly, where the sink is read slowly', async () => {
    const pipe = join(directory, 'pipe');
    expect(spawnSync('mkfifo', [pipe]).status).toBe(0);
    const log = open({ path: pipe, maxWaiting: 200, maxUnwrittenBytes: 32 * 1024 });
    let taken = 0;
    for (; log.dropped === 0; taken += 50) {
      for (let index = 0; index < 50; index++) log.take(FORMAT, request(`/${index}`));
      // What waits for the pipe is on its way there before the next ones come.
      await new Promise((resolve) => setImmediate(resolve));
    }
    const closed = log.close();
    const reader = await openFile(pipe, 'r');
    const chunks: Buffer[] = [];
    for (const chunk = Buffer.alloc(1024); ; ) {
      const { bytesRead } = await reader.read(chunk, 0, chunk.length);
      if (bytesRead === 0) break;
      chunks.push(Buffer.from(chunk.subarray(0, bytesRead)));
    }
    await reader.close();
    await closed;
    rmSync(pipe);
    writeFileSync(file, Buffer.concat(chunks));
    const { chains, problems } = await verify();
    expect(problems).toEqual([]);
    const [{ records, dropped } = { records: 0, dropped: 0 }] = chains;
    expect(dropped).toBeGreaterThan(0);
    expect(records + dropped).toBe(taken);
  });

  it('are none where nothing was asked: no file is made', async () => {
    await open().close();
    expect(readdirSync(directory)).toEqual([]);
  });
});

describe('a format', () => {
  it.each([
    [{ seq: '%PROTOCOL%' }, 'seq is written by the audit log itself'],
    [{ type: 'request', a: { b: 'c' } }, 'a must be a text'],
    [{ type: 'request', a: 'x %PROTOCOL%' }, 'a must be one operator or plain text'],
    [{ type: 'request', a: '%NOT_THERE%' }, '%NOT_THERE% is not supported'],
    [{ a: '%PROTOCOL%' }, 'needs a member with a plain text'],
  ])('%j is refused', (format, message) => {
    expect(() => compileAuditFormat(format)).toThrow(message);
  });
});

describe('what is done to the file', () => {
  beforeEach(async () => {
    await writeChain(5);
    await writeChain(5);
  });

  it('is nothing: two chains, the second knows the first', async () => {
    const { chains, problems } = await verify();
    expect(problems).toEqual([]);
    expect(chains).toMatchObject([{ records: 5 }, { records: 5 }]);
  });

  const LAST = 13;
  for (let line = 0; line <= LAST; line++) {
    it(`line ${line + 1} removed`, async () => {
      write(linesOf().filter((_, index) => index !== line));
      expect(messages(await verify())).not.toBe('');
    });
    it(`line ${line + 1} changed`, async () => {
      write(
        linesOf().map((text, index) =>
          index === line ? text.replace('"time"', '"tine"').replace('"path":"/', '"path":"/x') : text,
        ),
      );
      expect(messages(await verify())).toContain(`${line + 1}: `);
    });
    it(`line ${line + 1} twice`, async () => {
      write(linesOf().flatMap((text, index) => (index === line ? [text, text] : [text])));
      expect(messages(await verify())).toContain(`${line + 2}: `);
    });
    if (line === LAST) continue;
    it(`lines ${line + 1} and ${line + 2} swapped`, async () => {
      const lines = linesOf();
      [lines[line], lines[line + 1]] = [lines[line + 1]!, lines[line]!];
      write(lines);
      // The last of a chain and the first of the next are of two processes: nothing says which was written first.
      if (line === 6) return expect((await verify()).chains).toHaveLength(2);
      expect(messages(await verify())).not.toBe('');
    });
    it(`the tail after line ${line + 1} cut off`, async () => {
      write(linesOf().slice(0, line + 1));
      const { problems } = await verify();
      // What ended in order cannot be told from what never had another chain behind it.
      if (line === 6) expect(problems).toEqual([]);
      else expect(problems).not.toEqual([]);
    });
  }

  it('the first chain removed as a whole', async () => {
    write(linesOf().slice(7));
    expect(messages(await verify())).toContain('is missing as a whole');
  });

  it('a record that was changed with its hash made new', async () => {
    const { hashOfLine } = await import('@lateen/telemetry/audit/chain.js');
    const forged = linesOf().map((text, index) => {
      if (index !== 2) return text;
      const unsealed = text.replace('"status":200', '"status":404').slice(0, -75);
      return `${unsealed},"hash":"${hashOfLine(unsealed)}"}`;
    });
    write(forged);
    expect(messages(await verify())).toContain('4: record 4 of chain');
  });
});

describe('a process that was killed', () => {
  it('leaves a chain without an end, which the next one takes note of, and a line that was cut off', async () => {
    await writeChain(5);
    const lines = linesOf();
    write(lines.slice(0, 4));
    appendFileSync(file, lines[4]!.slice(0, 40));
    expect(messages(await verify(true))).toContain('cut off while it was written');
    await writeChain(3);
    const { problems, chains } = await verify();
    expect(problems).toEqual([]);
    expect(chains).toMatchObject([
      { seq: 4, records: 3, ended: false },
      { records: 3, ended: true },
    ]);
    const all = linesOf();
    write([...all.slice(0, 3), ...all.slice(4)]);
    expect(messages(await verify())).toContain('ended with record 4 when this one began; now it ends with record 3');
  });

  it('cannot be told from a tail that was cut off', async () => {
    await writeChain(5);
    write(linesOf().slice(0, 4));
    expect(messages(await verify())).toContain('4: chain');
    expect((await verify(true)).problems).toEqual([]);
  });
});
