// Mutual TLS of the control plane: who gets in, who does not, on first and on resumed sessions, through a renewal.

import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type StringValue, StringValueSchema } from '@bufbuild/protobuf/wkt';
import { Client, Server, type ServiceError, type sendUnaryData, status } from '@grpc/grpc-js';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatSpiffeId } from '../spiffe-id.js';
import { TestAuthority } from '../test-authority.js';
import { type IdentitySource, mergeRoots, type StaticIdentity, type WorkloadIdentity } from '../workload-identity.js';
import {
  grpcChannelCredentials,
  grpcServerCredentials,
  type peerSpiffeId,
  requirePeerSpiffeId,
} from './grpc-credentials.js';
import { MtlsAgent, mtlsFetch } from './mtls-http-client.js';
import { createMtlsHttpServer, requestPeer } from './mtls-http-server.js';

const system = (serviceAccount: string) =>
  formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'istio-system', serviceAccount });

let authority: TestAuthority;
let admin: StaticIdentity;
let workload: WorkloadIdentity;
let stranger: WorkloadIdentity;
let foreigner: WorkloadIdentity;
let expired: WorkloadIdentity;
const closers: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
  const names = { namespace: 'istio-system', serviceAccount: 'lateen-admin' };
  admin = await authority.source(names);
  workload = await authority.issue({ namespace: 'default', serviceAccount: 'reviews' });
  stranger = await (await TestAuthority.create()).issue(names);
  foreigner = await (await TestAuthority.create('other.example')).issue(names);
  expired = await authority.issue({ ...names, ttlSeconds: 10, now: new Date(Date.now() - 3_600_000) });
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Attempt {
  readonly answer: string;
  readonly reused: boolean;
  readonly sessions: Buffer[];
}

/** Speaks raw HTTP/1.1 over TLS; resolves with whatever the server answered before it closed. */
function attempt(
  port: number,
  identity: WorkloadIdentity | undefined,
  options: ConnectionOptions = {},
): Promise<Attempt> {
  return new Promise((resolve) => {
    const sessions: Buffer[] = [];
    let answer = '';
    let reused = false;
    const socket: TLSSocket = connect({
      host: '127.0.0.1',
      port,
      key: identity?.keyPem,
      cert: identity?.certChainPem,
      ca: authority.rootsPem,
      checkServerIdentity: () => undefined,
      ...options,
    });
    socket.on('session', (session) => sessions.push(session));
    socket.on('secureConnect', () => {
      reused = socket.isSessionReused();
      socket.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    });
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve({ answer, reused, sessions }));
  });
}

describe('createMtlsHttpServer', () => {
  async function start(source?: IdentitySource) {
    const refusals: string[] = [];
    let handled = 0;
    const server = await createMtlsHttpServer({
      source: source ?? (await authority.source({ namespace: 'istio-system', serviceAccount: 'galley' })),
      allowedClients: [system('lateen-admin')],
      address: '127.0.0.1',
      port: 0,
      onRefused: (reason) => refusals.push(reason.message),
      handler: (request, response) => {
        handled++;
        (response as import('node:http').ServerResponse).end(`hello ${requestPeer(request)}`);
      },
    });
    closers.push(() => server.close());
    return { port: server.port, refusals, handled: () => handled };
  }

  it('serves HTTP/1.1 and HTTP/2 to the identities it is for', async () => {
    const { port } = await start();
    const answer = await attempt(port, admin.current);
    expect(answer.answer).toContain(`hello ${system('lateen-admin')}`);
    const { connect: connectHttp2 } = await import('node:http2');
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      key: admin.current.keyPem,
      cert: admin.current.certChainPem,
      ca: authority.rootsPem,
      checkServerIdentity: () => undefined,
    });
    const text = await new Promise<string>((resolve, reject) => {
      const stream = session.request({ ':path': '/' });
      let body = '';
      stream.on('data', (chunk: Buffer) => {
        body += chunk.toString();
      });
      stream.on('end', () => resolve(body));
      stream.on('error', reject);
    });
    session.close();
    expect(text).toBe(`hello ${system('lateen-admin')}`);
  });

  describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
    it.each([
      ['no certificate', () => undefined],
      ['a self-signed stranger with the right name', () => stranger],
      ['another trust domain', () => foreigner],
      ['a workload that is not admitted', () => workload],
      ['an expired certificate', () => expired],
    ])('refuses %s, also on a resumed session', async (_what, identity) => {
      const { port, refusals, handled } = await start();
      const options = { minVersion: version, maxVersion: version };
      const first = await attempt(port, identity(), options);
      expect(first.answer).toBe('');
      for (const session of first.sessions) {
        const second = await attempt(port, identity(), { ...options, session });
        expect(second.answer).toBe('');
        // The ticket alone, with no certificate behind it.
        expect((await attempt(port, undefined, { ...options, session })).answer).toBe('');
      }
      await expect.poll(() => refusals.length).toBeGreaterThanOrEqual(1);
      expect(handled()).toBe(0);
    });

    it('resumes nothing, so each connection is verified afresh', async () => {
      const { port } = await start();
      const options = { minVersion: version, maxVersion: version };
      const first = await attempt(port, admin.current, options);
      expect(first.answer).toContain('hello');
      for (const session of first.sessions) {
        const second = await attempt(port, undefined, { ...options, session });
        expect(second.reused).toBe(false);
        expect(second.answer).toBe('');
      }
    });
  });

  it('follows renewals and changes of the trust roots', async () => {
    const source = await authority.source({ namespace: 'istio-system', serviceAccount: 'galley' });
    const { port } = await start(source);
    const next = await TestAuthority.create();
    const newcomer = await next.issue({ namespace: 'istio-system', serviceAccount: 'lateen-admin' });
    expect((await attempt(port, newcomer)).answer).toBe('');
    const renewed = await next.issue({ namespace: 'istio-system', serviceAccount: 'galley' });
    source.replace({ ...renewed, rootsPem: mergeRoots(authority.rootsPem, next.rootsPem) });
    expect((await attempt(port, newcomer, { ca: next.rootsPem })).answer).toContain('hello');
    expect((await attempt(port, admin.current, { ca: next.rootsPem })).answer).toContain('hello');
    source.replace(renewed);
    expect((await attempt(port, admin.current, { ca: next.rootsPem })).answer).toBe('');
  });

  it('lets a request under way end when it closes, and ends idle connections at once', async () => {
    const source = await authority.source({ namespace: 'istio-system', serviceAccount: 'galley' });
    let answer: (() => void) | undefined;
    const server = await createMtlsHttpServer({
      source,
      allowedClients: [system('lateen-admin')],
      address: '127.0.0.1',
      port: 0,
      handler: (request, response) => {
        answer = () => (response as import('node:http').ServerResponse).end('late');
        if (request.url === '/now') answer();
      },
    });
    const agents = [0, 1].map(() => new MtlsAgent({ source: admin, expectedSpiffeIds: [system('galley')] }));
    closers.push(() => agents.forEach((agent) => void agent.destroy()));
    const [idle, busy] = agents.map(mtlsFetch);
    await (await idle!(`https://127.0.0.1:${server.port}/now`)).text();
    answer = undefined;
    const slow = busy!(`https://127.0.0.1:${server.port}/late`);
    await expect.poll(() => answer).toBeDefined();
    const closed = server.close(30_000);
    answer!();
    expect(await (await slow).text()).toBe('late');
    await closed;
  });

  it('is called by mtlsFetch, which admits only the server it expects', async () => {
    const { port } = await start();
    const url = `https://127.0.0.1:${port}/debug`;
    const agent = new MtlsAgent({ source: admin, expectedSpiffeIds: [system('galley')] });
    closers.push(() => agent.destroy());
    const answer = await mtlsFetch(agent)(url);
    expect([answer.status, await answer.text()]).toEqual([200, `hello ${system('lateen-admin')}`]);
    const wrong = new MtlsAgent({ source: admin, expectedSpiffeIds: [system('pilot')] });
    closers.push(() => wrong.destroy());
    await expect(mtlsFetch(wrong)(url)).rejects.toThrow(/sa\/galley, which is not admitted/);
  });
});

const METHOD = {
  path: '/test.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: (message: StringValue) => Buffer.from(toBinary(StringValueSchema, message)),
  requestDeserialize: (bytes: Buffer) => fromBinary(StringValueSchema, bytes),
  responseSerialize: (message: StringValue) => Buffer.from(toBinary(StringValueSchema, message)),
  responseDeserialize: (bytes: Buffer) => fromBinary(StringValueSchema, bytes),
} as const;

describe('gRPC credentials', () => {
  async function start(source: IdentitySource) {
    const server = new Server();
    server.addService(
      { say: METHOD },
      {
        say: (call: Parameters<typeof peerSpiffeId>[0], callback: sendUnaryData<StringValue>) => {
          try {
            const peer = requirePeerSpiffeId(call, (id) => id !== system('nobody'));
            callback(null, create(StringValueSchema, { value: peer }));
          } catch (error) {
            callback(error as ServiceError);
          }
        },
      },
    );
    const credentials = grpcServerCredentials(source, { requireClientCertificate: true });
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
    );
    closers.push(() => server.forceShutdown());
    return port;
  }

  function say(port: number, source: IdentitySource, expected = system('pilot')): Promise<string> {
    const credentials = grpcChannelCredentials(source, { expectedSpiffeIds: [expected] });
    const client = new Client(`127.0.0.1:${port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
    return new Promise<string>((resolve, reject) => {
      client.makeUnaryRequest(
        METHOD.path,
        METHOD.requestSerialize,
        METHOD.responseDeserialize,
        create(StringValueSchema),
        { deadline: Date.now() + 10_000 },
        (error, value) => (error === null ? resolve((value as StringValue).value) : reject(error)),
      );
    }).finally(() => client.close());
  }

  const of = (identity: WorkloadIdentity): IdentitySource => ({ current: identity, subscribe: () => () => undefined });

  it('name the peer to the service, and check the server', async () => {
    const port = await start(await authority.source({ namespace: 'istio-system', serviceAccount: 'pilot' }));
    expect(await say(port, admin)).toBe(system('lateen-admin'));
    await expect(say(port, admin, system('galley'))).rejects.toThrow(/sa\/pilot, which is not admitted/);
    const nobody = await authority.source({ namespace: 'istio-system', serviceAccount: 'nobody' });
    await expect(say(port, nobody)).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
  });

  it('refuse strangers in both directions', async () => {
    const port = await start(await authority.source({ namespace: 'istio-system', serviceAccount: 'pilot' }));
    const trusting = (identity: WorkloadIdentity) => of({ ...identity, rootsPem: authority.rootsPem });
    await expect(say(port, trusting(stranger))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(say(port, trusting(foreigner))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    await expect(say(port, trusting(expired))).rejects.toMatchObject({ code: status.UNAVAILABLE });
    const impostor = await (await TestAuthority.create()).source({
      namespace: 'istio-system',
      serviceAccount: 'pilot',
    });
    await expect(say(await start(impostor), admin)).rejects.toMatchObject({ code: status.UNAVAILABLE });
  });

  it.each([
    ['client', 'lateen-admin'],
    ['server', 'pilot'],
  ])('end a connection with the certificate of the %s', async (_which, shortLived) => {
    const of = (serviceAccount: string) => {
      const names = { namespace: 'istio-system', serviceAccount };
      return authority.source(serviceAccount === shortLived ? { ...names, ttlSeconds: 4 } : names);
    };
    const [server, client] = [await of('pilot'), await of('lateen-admin')];
    const port = await start(server);
    // A client that does not end it by itself, as other programs' do not.
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      key: client.current.keyPem,
      cert: client.current.certChainPem,
      ca: authority.rootsPem,
      checkServerIdentity: () => undefined,
    });
    session.on('error', () => undefined);
    closers.push(() => session.destroy());
    const ended = once(session, 'close');
    const call = session.request({ ':method': 'POST', ':path': METHOD.path, 'content-type': 'application/grpc' });
    call.on('error', () => undefined);
    call.end(Buffer.alloc(5)).resume();
    await once(call, 'close');
    expect(session.destroyed).toBe(false);
    await ended;
    const { notAfter } = shortLived === 'pilot' ? server.current : client.current;
    expect(Date.now()).toBeGreaterThanOrEqual(notAfter.getTime());
  });

  it('follow a renewal on the next connection', async () => {
    const source = await authority.source({ namespace: 'istio-system', serviceAccount: 'pilot' });
    const port = await start(source);
    expect(await say(port, admin)).toBe(system('lateen-admin'));
    const serialSeen = () =>
      new Promise<string>((resolve, reject) => {
        const options = { host: '127.0.0.1', port, ca: authority.rootsPem, checkServerIdentity: () => undefined };
        const socket = connect({ ...options, key: admin.current.keyPem, cert: admin.current.certChainPem }, () => {
          resolve(socket.getPeerCertificate().serialNumber);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    expect(await serialSeen()).toBe(source.current.serial);
    source.replace(await authority.issue({ namespace: 'istio-system', serviceAccount: 'pilot' }));
    expect(await serialSeen()).toBe(source.current.serial);
    expect(await say(port, admin)).toBe(system('lateen-admin'));
  });
});
