// Interop tests: gRPC's own interop clients and servers, unmodified, call each other through two sidecars with mutual TLS: both
// Lateen's, and either of them a stock Envoy.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../harness/free-port.js';
import { REPOSITORY } from '../harness/repository.js';
import { waitUntil } from '../harness/wait-until.js';
import { obtainGrpcClient, obtainGrpcJava, obtainGrpcServer, requireTester } from './build-testers.js';
import { requireStockEnvoy } from './envoy-required.js';
import { MixedMesh } from './mixed-mesh.js';

const BUILD_LIMIT_MS = 400_000;
const CASE_LIMIT_MS = 60_000;

/** gRPC's list (interop-test-descriptions), less what needs Google's credentials, a load report or several servers. */
const CASES = [
  'empty_unary',
  'large_unary',
  'client_streaming',
  'server_streaming',
  'ping_pong',
  'empty_stream',
  'custom_metadata',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
  'cancel_after_begin',
  'cancel_after_first_response',
  'timeout_on_sleeping_server',
  'rpc_soak',
  'channel_soak',
] as const;

/** Those that Go's client does not have. Java's server does not tell compressed requests apart, so its client is not to ask for that. */
const COMPRESSED_CASES = [
  'client_compressed_unary_noprobe',
  'server_compressed_unary',
  'client_compressed_streaming_noprobe',
  'server_compressed_streaming',
] as const;

const SERVICES = ['go-behind-lateen', 'go-behind-envoy', 'java-behind-lateen'] as const;
const CLIENTS = ['client-of-lateen', 'client-of-envoy'] as const;

const envoyPath = requireStockEnvoy();
const client = requireTester(obtainGrpcClient(), 'go', "gRPC's interop client of Go");
const server = requireTester(obtainGrpcServer(), 'go', "gRPC's interop server of Go");
const java = requireTester(obtainGrpcJava(), 'mvn', "gRPC's interop client of Java");

function javaProgram(name: string): string[] {
  return [
    'java',
    '-XX:TieredStopAtLevel=1',
    '-cp',
    java ?? '',
    `io.grpc.testing.integration.${name}`,
    '--use_tls=false',
  ];
}

describe.skipIf(envoyPath === undefined || client === undefined || server === undefined)("gRPC's interop cases", () => {
  const children: ChildProcess[] = [];
  let mesh: MixedMesh;

  /** Starts a server and waits until its port takes connections. */
  async function serve(argv: (port: number) => readonly string[]): Promise<number> {
    const port = await freePort();
    const [command = '', ...args] = argv(port);
    children.push(spawn(command, args, { stdio: 'ignore' }));
    await waitUntil(`${command} to listen`, async () => {
      const socket = connect(port, '127.0.0.1');
      try {
        await once(socket, 'connect');
        return true;
      } finally {
        socket.destroy();
      }
    });
    return port;
  }

  /** Runs one case; what the client wrote where it failed. */
  async function call(from: (typeof CLIENTS)[number], to: (typeof SERVICES)[number], name: string): Promise<string> {
    const host = mesh.serviceAddress(CLIENTS.indexOf(from), to, SERVICES);
    const argv = to.startsWith('java') ? javaProgram('TestServiceClient') : [client ?? '', '-use_tls=false'];
    const [command = '', ...args] = [...argv, `--server_host=${host}`, '--server_port=9080', `--test_case=${name}`];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
    const timer = setTimeout(() => child.kill('SIGKILL'), CASE_LIMIT_MS - 5000);
    const [code, signal] = await once(child, 'close');
    clearTimeout(timer);
    return code === 0 ? 'passed' : `${signal ?? code}: ${output.slice(-3000)}`;
  }

  beforeAll(async () => {
    const goPort = await serve((port) => [server ?? '', '-use_tls=false', '-port', `${port}`]);
    const javaPort =
      java === undefined ? goPort : await serve((port) => [...javaProgram('TestServiceServer'), `--port=${port}`]);
    mesh = await MixedMesh.start(envoyPath ?? '');
    const policy = readFileSync(`${REPOSITORY}examples/handbook/peer-authentication-default.yaml`, 'utf8');
    await waitUntil('galley to take configuration', () => mesh.operator.apply('peer-authentication.yaml', policy));
    const node = (index: number, app: string) => ({
      podName: app,
      namespace: 'default',
      workloadName: app,
      serviceAccount: app,
      labels: { app },
      address: mesh.podAddress(index),
      gateway: false,
    });
    await mesh.run(
      [
        { node: node(0, 'client-of-lateen'), proxy: 'lateen' },
        { node: node(1, 'client-of-envoy'), proxy: 'envoy' },
        { node: node(2, 'go-behind-lateen'), proxy: 'lateen', app: goPort },
        { node: node(3, 'go-behind-envoy'), proxy: 'envoy', app: goPort },
        { node: node(4, 'java-behind-lateen'), proxy: 'lateen', app: javaPort },
      ],
      SERVICES,
      'grpc',
    );
    for (const from of CLIENTS) {
      for (const to of SERVICES.slice(0, 2)) {
        await waitUntil(`${from} to reach ${to}`, async () => {
          const outcome = await call(from, to, 'empty_unary');
          if (outcome !== 'passed') throw new Error(outcome);
          return true;
        });
      }
    }
  }, BUILD_LIMIT_MS);
  afterAll(async () => {
    await mesh?.stop();
    for (const child of children) child.kill('SIGKILL');
  });

  const pairs = [
    ['client-of-lateen', 'go-behind-lateen'],
    ['client-of-envoy', 'go-behind-lateen'],
    ['client-of-lateen', 'go-behind-envoy'],
  ] as const;
  describe.each(pairs)('from %s to %s', (from, to) => {
    test.each(CASES)('%s', async (name) => expect(await call(from, to, name)).toBe('passed'), CASE_LIMIT_MS);
  });

  describe.skipIf(java === undefined)('from client-of-lateen to java-behind-lateen', () => {
    const [from, to] = ['client-of-lateen', 'java-behind-lateen'] as const;
    test.each(COMPRESSED_CASES)('%s', async (name) => expect(await call(from, to, name)).toBe('passed'), CASE_LIMIT_MS);
  });

  test('went over both sidecars, by mutual TLS alone', async () => {
    const counted = await mesh.admin('go-behind-lateen', '/stats/prometheus');
    const own = counted.split('\n').filter((line) => line.startsWith('istio_requests_total{'));
    expect(own.length).toBeGreaterThan(0);
    expect(own.filter((line) => !line.includes('connection_security_policy="mutual_tls"'))).toEqual([]);
    const stats = await mesh.admin('go-behind-envoy', '/stats?filter=^listener.*_9080.ssl.handshake');
    expect(stats).toMatch(/ssl\.handshake: [1-9]/);
  });
});
