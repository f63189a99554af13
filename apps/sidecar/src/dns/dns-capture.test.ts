// DNS: names of the mesh are answered from the table in every form, everything else by the name servers; nothing breaks it.

import { createSocket } from 'node:dgram';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { NameTableSchema } from '@lateen/xds-proto/istio/networking/nds/v1/nds_pb.js';
import { type DecodedPacket, decode, encode, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { startDnsServer, type DnsServer as TestServer } from '../testing/dns-server.js';
import { DnsCapture } from './dns-capture.js';
import { MessageReader, withLength } from './tcp-messages.js';

const kubernetes = (name: string, namespace: string, ...ips: string[]) => ({
  ips,
  registry: 'Kubernetes',
  shortname: name,
  namespace,
});
const TABLE = create(NameTableSchema, {
  table: {
    'reviews.shop.svc.cluster.local': kubernetes('reviews', 'shop', '10.0.0.1', 'fd00::1'),
    'db.data.svc.cluster.local': kubernetes('db', 'data', '10.0.0.2'),
    'many.shop.svc.cluster.local': kubernetes('many', 'shop', ...Array.from({ length: 60 }, (_, i) => `10.1.0.${i}`)),
    'api.example.com': { ips: ['240.240.0.1'], registry: 'External' },
    '*.wild.example.com': { ips: ['240.240.0.2'], registry: 'External' },
  },
});

let directory: string;
let upstream: TestServer;
let dns: DnsCapture;
let port: number;
const logged: string[] = [];

const createCapture = (state = directory) =>
  new DnsCapture({
    namespace: 'shop',
    stateDir: state,
    addresses: ['127.0.0.1', '::1'],
    port: 0,
    resolvConf: join(directory, 'resolv.conf'),
    serverPort: upstream.port,
    log: (_level, message) => logged.push(message),
  });

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'lateen-dns-'));
  const search = 'search shop.svc.cluster.local svc.cluster.local cluster.local';
  writeFileSync(join(directory, 'resolv.conf'), `nameserver 127.0.0.1\n${search}\noptions ndots:5\n`);
  upstream = await startDnsServer();
  upstream.set('elsewhere.test', { addresses: ['192.0.2.1', '2001:db8::1'] });
  dns = createCapture();
  const [first = ''] = await dns.start();
  port = Number(first.split(' ')[1]);
});
beforeEach(() => dns.take(TABLE));
afterAll(async () => {
  await dns.close();
  await upstream.close();
  rmSync(directory, { recursive: true, force: true });
});

const question = (name: string, type: 'A' | 'AAAA' | 'TXT' = 'A', more: Partial<Packet> = {}) =>
  encode({ type: 'query', id: 7, flags: 0x100, questions: [{ name, type }], ...more });

function askUdp(message: Uint8Array): Promise<DecodedPacket> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.on('message', (answer) => {
      socket.close();
      resolve(decode(answer));
    });
    socket.send(message, port, '127.0.0.1');
  });
}

async function ask(name: string, type: 'A' | 'AAAA' | 'TXT' = 'A') {
  const { id, rcode, answers = [] } = (await askUdp(question(name, type))) as DecodedPacket & { rcode: string };
  expect(id).toBe(7);
  return { rcode, answers: answers.map((each) => `${each.type} ${each.name} ${'data' in each ? each.data : ''}`) };
}

describe('names of the mesh', () => {
  test.each(['reviews', 'reviews.shop', 'reviews.shop.svc', 'reviews.shop.svc.cluster.local', 'Reviews.SHOP'])(
    '%s has its address',
    async (name) => {
      expect(await ask(name)).toEqual({ rcode: 'NOERROR', answers: [`A ${name} 10.0.0.1`] });
      expect((await ask(name, 'AAAA')).answers).toEqual([`AAAA ${name} fd00::1`]);
    },
  );

  test('of another namespace, by its namespace alone', async () => {
    expect((await ask('db.data')).answers).toEqual(['A db.data 10.0.0.2']);
    expect(await ask('db')).toEqual({ rcode: 'NXDOMAIN', answers: [] });
  });

  test('as the search list completes them', async () => {
    expect((await ask('db.data.shop.svc.cluster.local')).answers).toEqual([
      'CNAME db.data.shop.svc.cluster.local db.data',
      'A db.data 10.0.0.2',
    ]);
    expect((await ask('api.example.com.svc.cluster.local')).answers[0]).toBe(
      'CNAME api.example.com.svc.cluster.local api.example.com',
    );
  });

  test('with addresses of the other family alone there are none of this one, which is not the same as no such name', async () => {
    expect(await ask('db.data', 'AAAA')).toEqual({ rcode: 'NOERROR', answers: [] });
    expect(upstream.questions).not.toContain('AAAA db.data');
  });

  test('a wildcard stands for every name below it, and not for itself', async () => {
    expect((await ask('a.wild.example.com')).answers).toEqual(['A a.wild.example.com 240.240.0.2']);
    expect((await ask('a.b.wild.example.com')).answers).toEqual(['A a.b.wild.example.com 240.240.0.2']);
    expect((await ask('wild.example.com')).rcode).toBe('NXDOMAIN');
  });

  test('the addresses take turns', async () => {
    const firsts = new Set<string>();
    for (let round = 0; round < 5; round++) {
      const { answers = [] } = await askUdp(question('many', 'A', { additionals: [opt(4096)] }));
      expect(answers).toHaveLength(60);
      firsts.add(String((answers[0] as { data: string }).data));
    }
    expect(firsts.size).toBe(5);
  });

  test('what does not fit says so, and comes over TCP', async () => {
    const small = await askUdp(question('many'));
    expect(small).toMatchObject({ flag_tc: true, answers: [] });
    const [whole] = await askTcp([question('many')]);
    expect(whole?.answers).toHaveLength(60);
  });

  test('of more addresses than a message can hold as many as fit come over TCP, under a long name too', async () => {
    const name = `${'n'.repeat(63)}.${'s'.repeat(63)}.svc.cluster.local`;
    const ips = Array.from({ length: 1_500 }, (_, index) => `fd00::${index.toString(16)}`);
    dns.take(create(NameTableSchema, { table: { [name]: { ips, registry: 'Kubernetes' } } }));
    const [whole] = await askTcp([question(name, 'AAAA')]);
    expect(whole!.answers!.length).toBeGreaterThan(300);
    const [other] = await askTcp([question(name, 'AAAA')]);
    expect(other!.answers).toHaveLength(whole!.answers!.length);
  });

  test('EDNS is answered with EDNS', async () => {
    const { additionals = [] } = await askUdp(question('reviews', 'A', { additionals: [opt(1232)] }));
    expect(additionals).toMatchObject([{ type: 'OPT' }]);
    expect((await askUdp(question('reviews'))).additionals).toEqual([]);
  });
});

function opt(udpPayloadSize: number) {
  const fields = { extendedRcode: 0, ednsVersion: 0, flags: 0, flag_do: false, options: [] };
  return { type: 'OPT' as const, name: '.', udpPayloadSize, ...fields };
}

function askTcp(messages: readonly Uint8Array[], host = '127.0.0.1'): Promise<DecodedPacket[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const answers: DecodedPacket[] = [];
    const reader = new MessageReader((message) => {
      answers.push(decode(Buffer.from(message)));
      if (answers.length < messages.length) return;
      socket.destroy();
      resolve(answers);
    });
    socket.on('data', (chunk) => reader.add(chunk));
    socket.on('error', reject);
    for (const message of messages) socket.write(withLength(message));
  });
}

describe('other names', () => {
  test('are asked of the name servers, as they are', async () => {
    expect(await ask('elsewhere.test')).toEqual({ rcode: 'NOERROR', answers: ['A elsewhere.test 192.0.2.1'] });
    expect((await ask('nowhere.test')).rcode).toBe('NXDOMAIN');
    expect(upstream.questions).toContain('A elsewhere.test');
  });

  test('other types of the mesh’s names too', async () => {
    await ask('reviews', 'TXT');
    expect(upstream.questions).toContain('TXT reviews');
    expect(upstream.questions).not.toContain('A reviews');
  });

  test('over TCP, several on one connection', async () => {
    const server = createServer((socket) => {
      const reader = new MessageReader((message) => {
        const { id, questions } = decode(Buffer.from(message));
        const answers = [{ type: 'A' as const, name: 'big.test', ttl: 1, data: '192.0.2.9' }];
        socket.write(
          withLength(
            encode({ type: 'response', ...(id === undefined ? {} : { id }), questions: questions ?? [], answers }),
          ),
        );
      });
      socket.on('data', (chunk) => reader.add(chunk));
    });
    await new Promise<void>((resolve) => server.listen(upstream.port, '127.0.0.1', resolve));
    const answers = await askTcp([question('big.test'), question('reviews'), question('big.test')]);
    expect(answers.map((each) => each.answers?.length)).toEqual([1, 1, 1]);
    server.close();
  });

  test('a server that cannot tell, or is not there', async () => {
    upstream.set('broken.test', 'SERVFAIL');
    expect((await ask('broken.test')).rcode).toBe('SERVFAIL');
    const alone = new DnsCapture({
      namespace: 'shop',
      stateDir: directory,
      addresses: [],
      port: 0,
      resolvConf: join(directory, 'absent'),
      log: (_level, message) => logged.push(message),
    });
    const answer = decode(Buffer.from((await alone.answer(question('elsewhere.test'), false))!)) as DecodedPacket & {
      rcode: string;
    };
    expect(answer.rcode).toBe('SERVFAIL');
    expect(logged).toContain('a name cannot be looked up');
  });
});

test('the table is kept over a restart, and one that cannot be used is refused', async () => {
  dns.take(TABLE);
  const update = {
    typeUrl: dns.subscription.typeUrl,
    version: '2',
    removed: [],
    rejected: [],
    upserts: [{ name: 'name-table', version: '2', value: create(NameTableSchema, { table: { bad: { ips: ['x'] } } }) }],
  };
  const problems = await dns.subscription.onUpdate(update as never);
  expect(problems).toMatchObject([{ message: '"x" is not an IP address', path: 'table["bad"].ips' }]);
  expect((await ask('reviews')).answers).toHaveLength(1);
  const again = createCapture();
  await vi.waitFor(async () => {
    await again.start();
    await again.close();
    expect(again.names).toBeGreaterThan(5);
  });
});

test('both families of loopback', async () => {
  expect((await askTcp([question('reviews')]))[0]?.answers).toHaveLength(1);
  expect(dns.names).toBeGreaterThan(5);
});

test('no bytes break it', async () => {
  const quiet = createCapture();
  quiet.take(TABLE);
  const valid = [
    question('reviews'),
    question('many', 'AAAA'),
    question('a.wild.example.com', 'A', { additionals: [opt(512)] }),
  ];
  const mutated = fc
    .tuple(fc.constantFrom(...valid), fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }), fc.nat(60))
    .map(([message, changes, cut]) => {
      const bytes = Buffer.from(message);
      for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, bytes.length - (cut > 50 ? cut - 50 : 0));
    });
  const forwarded = vi.spyOn(quiet.forwarder, 'ask').mockRejectedValue(new Error('nobody is asked here'));
  await fc.assert(
    fc.asyncProperty(fc.oneof(mutated, fc.uint8Array({ maxLength: 600 })), fc.boolean(), async (bytes, stream) => {
      const answer = await quiet.answer(bytes, stream);
      if (answer === undefined) return;
      expect([answer[0], answer[1]]).toEqual([bytes[0], bytes[1]]);
      expect(answer[2]! & 0x80).toBe(0x80);
    }),
    { numRuns: 3000 },
  );
  forwarded.mockRestore();
  await quiet.close();
});
