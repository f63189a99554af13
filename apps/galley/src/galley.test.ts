// Galley as the CLI and Pilot meet it: Connect and ADS over mutual TLS, the real rules, real files.
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { type Client as ConnectClient, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { Client, type ClientDuplexStream, status } from '@grpc/grpc-js';
import { formatSpiffeId, grpcChannelCredentials, MtlsAgent, mtlsFetch, type StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { createLogger } from '@lateen/telemetry';
import { grpcService, unpackAny } from '@lateen/xds-proto';
import { AggregatedDiscoveryService } from '@lateen/xds-proto/envoy/service/discovery/v3/ads_pb.js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { ConfigAdmin } from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import { ConfigResourceSchema } from '@lateen/xds-proto/lateen/config/v1/resource_pb.js';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { istioRules } from './istio-rules.js';
import { type Galley, type GalleyOptions, startGalley } from './pipeline.js';

const REVIEWS = `
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [reviews]
  http:
  - route:
    - destination: {host: reviews}
`;
const BROKEN = `
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [other]
  http:
  - timeout: 5q
    retriess: {attempts: 1}
    route:
    - destination: {host: reviews}
  - route:
    - destination: {host: reviews}
      weight: -1
`;
const rulesFor = (host: string) => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${host}, namespace: shop}
spec: {host: ${host}}
`;

const systemId = (serviceAccount: string) =>
  formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'istio-system', serviceAccount });
const logger = createLogger('galley', 'silent');

let authority: TestAuthority;
let directory: string;
const closers: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  authority = await TestAuthority.create();
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lateen-galley-'));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await rm(directory, { recursive: true });
});

const identity = (serviceAccount: string): Promise<StaticIdentity> =>
  authority.source({ namespace: 'istio-system', serviceAccount });

async function start(changes: Partial<GalleyOptions> = {}): Promise<Galley> {
  const galley = await startGalley({
    address: '127.0.0.1',
    stateDir: join(directory, 'state'),
    xdsPort: 0,
    adminPort: 0,
    monitoringPort: 0,
    configDir: undefined,
    meshConfig: undefined,
    trustDomain: 'cluster.local',
    identity: await identity('galley'),
    rules: istioRules,
    version: 'test',
    logger,
    onFatal: (error) => {
      throw error;
    },
    ...changes,
  });
  closers.push(() => galley.stop());
  return galley;
}

async function admin(galley: Galley, serviceAccount = 'lateen-admin'): Promise<ConnectClient<typeof ConfigAdmin>> {
  const agent = new MtlsAgent({ source: await identity(serviceAccount), expectedSpiffeIds: [systemId('galley')] });
  closers.push(() => agent.destroy());
  return createClient(
    ConfigAdmin,
    createConnectTransport({
      baseUrl: `https://127.0.0.1:${galley.ports.admin}`,
      httpVersion: '1.1',
      nodeOptions: { agent },
    }),
  );
}

const file = (content: string, name = 'a.yaml') => ({ files: [{ name, content }] });

/** An incremental subscriber that acknowledges everything; `seen` is what it holds, "KIND NAMESPACE/NAME@VERSION". */
async function subscribe(galley: Galley, typeUrls: string[], serviceAccount = 'pilot') {
  const credentials = grpcChannelCredentials(await identity(serviceAccount), {
    expectedSpiffeIds: [systemId('galley')],
  });
  const client = new Client(`127.0.0.1:${galley.ports.xds}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
  const method = grpcService(AggregatedDiscoveryService).deltaAggregatedResources!;
  const call: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse> = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize as never,
    method.responseDeserialize as never,
  );
  const held = new Map<string, string>();
  const failure: { code?: number } = {};
  const specs = new Map<string, unknown>();
  call.on('error', (error: { code?: number }) => {
    failure.code = error.code;
  });
  call.on('data', (response: DeltaDiscoveryResponse) => {
    for (const { name, version, resource } of response.resources) {
      const config = unpackAny(resource!, ConfigResourceSchema);
      held.set(`${config.kind} ${name}`, version);
      specs.set(`${config.kind} ${name}`, JSON.parse(config.specJson));
    }
    const kind = response.typeUrl.split('/')[1];
    for (const name of response.removedResources) held.delete(`${kind} ${name}`);
    call.write(create(DeltaDiscoveryRequestSchema, { typeUrl: response.typeUrl, responseNonce: response.nonce }));
  });
  for (const typeUrl of typeUrls) {
    call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, node: { id: 'pilot' }, resourceNamesSubscribe: ['*'] }));
  }
  closers.push(() => {
    call.cancel();
    client.close();
  });
  return { held: () => [...held.keys()].sort(), versions: held, specs, failure };
}

const VS = 'networking.istio.io/VirtualService';
const DR = 'networking.istio.io/DestinationRule';
const MESH = 'lateen.io/MeshConfig';

describe('apply', () => {
  it('stores, serves to Pilot, lists, and is there after a restart', async () => {
    const galley = await start();
    const client = await admin(galley);
    const pilot = await subscribe(galley, [VS, DR, MESH]);
    await expect.poll(pilot.held).toEqual(['MeshConfig istio-system/istio']);
    const applied = await client.apply({ ...file(`${REVIEWS}---${rulesFor('ratings')}`), defaultNamespace: 'shop' });
    expect(applied.problems.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(applied.results.map(({ kind, namespace, name, action }) => [kind, namespace, name, action])).toEqual([
      ['VirtualService', 'shop', 'reviews', 'created'],
      ['DestinationRule', 'shop', 'ratings', 'created'],
    ]);
    await expect
      .poll(pilot.held)
      .toEqual(['DestinationRule shop/ratings', 'MeshConfig istio-system/istio', 'VirtualService shop/reviews']);
    expect(pilot.specs.get('VirtualService shop/reviews')).toEqual({
      hosts: ['reviews'],
      http: [{ route: [{ destination: { host: 'reviews' } }] }],
    });
    const listed = await client.list({ kind: 'vs' });
    expect(listed.resources).toMatchObject([
      { apiVersion: 'networking.istio.io/v1alpha3', kind: 'VirtualService', source: { file: 'a.yaml', line: 2 } },
    ]);
    expect((await client.list({ namespace: 'none' })).resources).toEqual([]);

    await galley.stop();
    const again = await start();
    const after = await (await admin(again)).list({ kind: 'virtualservices.networking.istio.io' });
    expect(after.resources).toEqual(listed.resources);
    const back = await subscribe(again, [VS]);
    await expect.poll(back.held).toEqual(['VirtualService shop/reviews']);
    expect(back.versions).toEqual(new Map([...pilot.versions].filter(([name]) => name.startsWith('Virtual'))));
    const deleted = await (await admin(again)).delete({
      resources: [{ kind: 'VirtualService', namespace: 'shop', name: 'reviews' }],
    });
    expect(deleted.results).toMatchObject([{ action: 'deleted' }]);
    await expect.poll(back.held).toEqual([]);
  });

  it('tells every mistake with its place, and changes nothing', async () => {
    const galley = await start();
    const client = await admin(galley);
    await client.apply(file(REVIEWS));
    const before = await client.list({});
    const outcome = await client.apply({
      files: [
        { name: 'good.yaml', content: rulesFor('x') },
        { name: 'bad.yaml', content: BROKEN },
      ],
    });
    expect(outcome.results).toEqual([]);
    const errors = outcome.problems.filter(({ severity }) => severity === 'error');
    expect(errors.map(({ file: name, line, path }) => [name, line, path])).toEqual([
      ['bad.yaml', 9, 'spec.http[0].timeout'],
      ['bad.yaml', 10, 'spec.http[0].retriess'],
      ['bad.yaml', 15, 'spec.http[1].route[0].weight'],
    ]);
    expect((await client.list({})).resources).toEqual(before.resources);
    const text = await (await fetch(`http://127.0.0.1:${galley.ports.monitoring}/metrics`)).text();
    expect(text).toMatch(
      /galley_validation_failed\{group="networking.istio.io",resource="virtualservices",reason="[a-z-]+"\} /,
    );
    expect(text).toMatch(/galley_validation_passed\{group="networking.istio.io",resource="virtualservices"\} 1/);
  });

  it('refuses Kubernetes kinds by name', async () => {
    const client = await admin(await start());
    const outcome = await client.apply(file('apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {}\n'));
    expect(outcome.problems).toMatchObject([{ severity: 'error', kind: 'Service' }]);
  });

  it('is there for gRPC too', async () => {
    const galley = await start();
    const source = await identity('lateen-supervisor');
    const client = createClient(
      ConfigAdmin,
      createGrpcTransport({
        baseUrl: `https://127.0.0.1:${galley.ports.admin}`,
        nodeOptions: {
          key: source.current.keyPem,
          cert: source.current.certChainPem,
          ca: source.current.rootsPem,
          checkServerIdentity: () => undefined,
        },
      }),
    );
    expect((await client.apply({ ...file(REVIEWS), dryRun: true })).results).toMatchObject([{ action: 'created' }]);
    expect((await client.list({ kind: 'VirtualService' })).resources).toEqual([]);
  });
});

describe('who may call', () => {
  it('is who has a role on the admin port, Pilot on the xDS port, and nobody else', async () => {
    const galley = await start();
    for (const reader of ['lateen-supervisor', 'lateen-viewer']) {
      const client = await admin(galley, reader);
      await client.list({});
      await expect(client.apply(file(REVIEWS))).rejects.toThrow(/has the role viewer, and this takes the role editor/);
      await expect(client.delete(file(REVIEWS))).rejects.toThrow(/takes the role editor/);
    }
    const editor = await admin(galley, 'lateen-editor');
    expect((await editor.list({ kind: 'VirtualService' })).resources).toEqual([]);
    expect((await editor.apply(file(REVIEWS))).results).toMatchObject([{ action: 'created' }]);
    await editor.delete(file(REVIEWS));
    await expect((await admin(galley, 'pilot')).list({})).rejects.toThrow();
    const refused = await subscribe(galley, [VS], 'lateen-admin');
    await expect.poll(() => refused.failure.code).toBe(status.PERMISSION_DENIED);
    expect(refused.held()).toEqual([]);
  });
});

describe('watched files', () => {
  it('are served, followed, and shown with their problems', async () => {
    const configDir = join(directory, 'config');
    const meshConfig = join(directory, 'mesh', 'mesh.yaml');
    await mkdir(configDir);
    await mkdir(join(directory, 'mesh'));
    await writeFile(join(configDir, 'reviews.yaml'), REVIEWS);
    await writeFile(meshConfig, 'accessLogFile: /dev/stdout\n');
    const galley = await start({ configDir, meshConfig });
    const pilot = await subscribe(galley, [VS, DR, MESH]);
    await expect.poll(pilot.held).toEqual(['MeshConfig istio-system/istio', 'VirtualService default/reviews']);
    expect(pilot.specs.get('MeshConfig istio-system/istio')).toEqual({ accessLogFile: '/dev/stdout' });

    await writeFile(join(configDir, 'reviews.yaml'), BROKEN);
    const agent = new MtlsAgent({ source: await identity('lateen-admin'), expectedSpiffeIds: [systemId('galley')] });
    closers.push(() => agent.destroy());
    const statusOf = async (): Promise<{ configDirectory: { files: { file: string; accepted: boolean }[] } }> =>
      (await mtlsFetch(agent)(`https://127.0.0.1:${galley.ports.admin}/debug/status`)).json() as never;
    await expect
      .poll(async () => (await statusOf()).configDirectory.files, { timeout: 5_000 })
      .toMatchObject([{ file: 'reviews.yaml', accepted: false }]);
    expect(pilot.specs.get('VirtualService default/reviews')).toMatchObject({ hosts: ['reviews'] });

    await writeFile(join(configDir, 'more.yaml'), rulesFor('ratings'));
    await writeFile(`${meshConfig}.new`, 'accessLogFile: ""\n');
    await rename(`${meshConfig}.new`, meshConfig);
    await expect.poll(pilot.held, { timeout: 5_000 }).toContain('DestinationRule shop/ratings');
    await expect
      .poll(() => pilot.specs.get('MeshConfig istio-system/istio'), { timeout: 5_000 })
      .toEqual({ accessLogFile: '' });
    await rm(join(configDir, 'reviews.yaml'));
    await expect
      .poll(pilot.held, { timeout: 5_000 })
      .toEqual(['DestinationRule shop/ratings', 'MeshConfig istio-system/istio']);
  });
});
