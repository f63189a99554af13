// Contract between explain and proxy: what explain says of generated rules, and of Bookinfo, is what a sidecar process does with
// the same resources, from the request's bytes to those of the upstream and of the answer.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Explanation, findCaller, proxyOf } from '@lateen/explain';
import { toEnvoyJson, unpackAny } from '@lateen/xds-proto';
import { HttpConnectionManagerSchema } from '@lateen/xds-proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager_pb.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ExplainedMesh, explainedMesh } from '../../packages/explain/test/explained-mesh.js';
import { type GeneratedRequest, generatedCases } from '../../packages/explain/test/generated-rules.js';
import { type AppProcess, startApp } from '../harness/app-process.js';
import { freePort } from '../harness/free-port.js';
import { httpGet } from '../harness/http-get.js';
import { REPOSITORY } from '../harness/repository.js';
import { waitUntil } from '../harness/wait-until.js';

interface Case {
  readonly name: string;
  readonly mesh: ExplainedMesh;
  readonly from: string;
  /** Where it is sent, and which listener and routes that is. */
  readonly host: string;
  readonly listener: RegExp;
  readonly requests: readonly GeneratedRequest[];
}

const GET = (path: string, headers: GeneratedRequest['headers'] = []): GeneratedRequest => ({
  method: 'GET',
  path,
  headers,
});
const example = (path: string) => `${readFileSync(join(REPOSITORY, 'examples', path), 'utf8')}\n---\n`;

const generated = generatedCases(16, 7, 7).map(
  ({ rules, requests }, index): Case => ({
    name: `generated ${index}`,
    mesh: explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
${rules.http}
`),
    from: 'client',
    host: 'web',
    listener: /^127\.2\.0\.1_80$/,
    requests,
  }),
);
const bookinfo = explainedMesh(
  ['bookinfo/gateway-routes.yaml', 'handbook/gateway-bookinfo.yaml', 'handbook/destination-rule-reviews.yaml']
    .concat('handbook/virtual-service-reviews.yaml')
    .map(example)
    .join(''),
  example('bookinfo/bookinfo.yaml'),
);
const CASES: readonly Case[] = [
  ...generated,
  {
    name: 'Bookinfo, between services',
    mesh: bookinfo,
    from: 'productpage-v1',
    host: 'reviews:9080',
    listener: /^127\.2\.0\.3_9080$/,
    requests: [
      GET('/reviews/0'),
      GET('/reviews/0', [['end-user', 'jason']]),
      GET('/reviews/0', [['end-user', 'Jason']]),
    ],
  },
  {
    name: 'Bookinfo, at the gateway',
    mesh: bookinfo,
    from: 'ingress gateway',
    host: 'localhost:8080',
    listener: /^0\.0\.0\.0_8080$/,
    requests: [GET('/'), GET('/productpage?u=normal'), GET('/productpages'), GET('/static/a/../b'), GET('/api')],
  },
];

const socket = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });

/** The connection manager of the listener as Pilot sends it, with its routes in it, on a free port. */
function served({ mesh, from, listener }: Case, name: string): { listener: object; clusters: string[] } {
  const { snapshot } = mesh;
  const caller = findCaller(snapshot, from, undefined);
  const { resources } = proxyOf(snapshot, caller);
  const found = resources.listeners.find((each) => listener.test(each.name))?.message;
  const config = found?.filterChains[0]?.filters[0]?.configType;
  if (config?.case !== 'typedConfig') throw new Error(`no listener ${listener}`);
  const manager = unpackAny(config.value, HttpConnectionManagerSchema);
  const rds = manager.routeSpecifier.case === 'rds' ? manager.routeSpecifier.value.routeConfigName : '';
  const routes = resources.routes.find((each) => each.name === rds)!.message;
  const inline = { ...manager, routeSpecifier: { case: 'routeConfig' as const, value: routes }, accessLog: [] };
  const typed_config = {
    '@type': `type.googleapis.com/${HttpConnectionManagerSchema.typeName}`,
    ...(toEnvoyJson(HttpConnectionManagerSchema, inline) as object),
  };
  return {
    listener: { name, address: socket(0), filter_chains: [{ filters: [{ name: 'hcm', typed_config }] }] },
    clusters: resources.clusters.map((cluster) => cluster.name).filter((each) => each.startsWith('outbound|')),
  };
}

/** What an upstream saw. */
interface Seen {
  readonly cluster: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
}

/** Each cluster has a port of its own, so that the upstream can tell which one it is. */
async function startUpstreams(clusters: readonly string[], closing: (() => unknown)[]): Promise<object[]> {
  return Promise.all(
    clusters.map(async (cluster) => {
      const server = createServer((request, response) => {
        const seen: Seen = { cluster, url: request.url ?? '', headers: request.headers };
        request.resume().on('end', () => response.setHeader('x-upstream', 'yes').end(JSON.stringify(seen)));
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      closing.push(() => {
        server.closeAllConnections();
        server.close();
      });
      const address = socket((server.address() as AddressInfo).port);
      const endpoints = [{ lb_endpoints: [{ endpoint: { address } }] }];
      return {
        name: cluster,
        type: 'STATIC',
        connect_timeout: '5s',
        load_assignment: { cluster_name: cluster, endpoints },
      };
    }),
  );
}

interface BoundListener {
  readonly name: string;
  readonly local_address: { readonly socket_address: { readonly port_value: number } };
}

const closing: (() => unknown)[] = [];
const ports: number[] = [];

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lateen-explain-'));
  closing.push(() => rmSync(directory, { recursive: true, force: true }));
  const all = CASES.map((each, index) => served(each, `case-${index}`));
  const clusters = await startUpstreams([...new Set(all.flatMap((each) => each.clusters))], closing);
  const blackHole = { name: 'BlackHoleCluster', type: 'STATIC', connect_timeout: '1s' };
  const admin = await freePort();
  const bootstrap = {
    node: { id: 'sidecar~127.0.0.1~client-0.default~default.svc.cluster.local', cluster: 'client.default' },
    admin: { address: socket(admin) },
    static_resources: { listeners: all.map(({ listener }) => listener), clusters: [...clusters, blackHole] },
  };
  const file = join(directory, 'bootstrap.json');
  writeFileSync(file, JSON.stringify(bootstrap));
  const app: AppProcess = startApp('sidecar', ['--config-path', file, '--log-level', 'info']);
  closing.push(() => app.stop('SIGKILL'));
  await waitUntil('the sidecar to start', () => {
    if (app.child.exitCode !== null) throw new Error(app.output());
    return app.output().includes('sidecar started');
  });
  const { body } = await httpGet(`http://127.0.0.1:${admin}/listeners?format=json`);
  const { listener_statuses: bound } = JSON.parse(body) as { listener_statuses: readonly BoundListener[] };
  for (const index of CASES.keys()) {
    ports.push(bound.find(({ name }) => name === `case-${index}`)!.local_address.socket_address.port_value);
  }
});
afterAll(async () => {
  for (const close of closing.reverse()) await close();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function send(port: number, host: string, { method, path, headers }: GeneratedRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const all = { ...Object.fromEntries(headers), host };
    const sent = httpRequest({ port, host: '127.0.0.1', method, path, headers: all, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

/** What was said of a side's headers, against what there is. */
function expectChanges(
  said: readonly Explanation['requestHeaders'][],
  headers: IncomingHttpHeaders,
  context: string,
): void {
  const set = Object.assign({}, ...said.map((each) => each.set)) as Record<string, string>;
  const added = said.flatMap((each) => Object.entries(each.add));
  for (const [name, value] of Object.entries(set)) {
    if (name !== 'host') expect(`${headers[name]}`.split(', ')[0], `${context} ${name}`).toBe(value);
  }
  for (const [name, value] of added) expect(`${headers[name]}`, `${context} ${name}`).toContain(value);
  for (const name of said.flatMap((each) => each.remove)) {
    if (!(name in set) && !added.some(([other]) => other === name)) expect(headers, context).not.toHaveProperty(name);
  }
}

describe.each(CASES.map((each, index) => [each.name, each, index] as const))(
  '%s',
  (_, { mesh, from, host, requests }, index) => {
    test('goes as explain says', async () => {
      for (const request of requests) {
        const { method, path, headers } = request;
        const said = mesh.ask(
          `${method} http://${host}${path}`,
          headers.map(([name, value]) => `${name}: ${value}`),
          from,
        );
        const answer = await send(ports[index]!, host, request);
        const context = `${method} ${path} ${JSON.stringify(headers)}\n${mesh.text.slice(-1500)}`;
        if (said.action !== 'forward') {
          expect(answer.status, context).toBe(said.status);
          if (said.location !== null) expect(answer.headers.location, context).toBe(said.location);
          if (said.body !== null) expect(answer.body, context).toBe(said.body);
          continue;
        }
        expect(answer.status, context).toBe(200);
        const seen = JSON.parse(answer.body) as Seen;
        const cluster = said.clusters.find(({ name }) => name === seen.cluster);
        expect([seen.cluster, seen.url, seen.headers.host], context).toEqual([
          cluster?.name,
          cluster?.path,
          cluster?.host,
        ]);
        expectChanges([said.requestHeaders, cluster!.requestHeaders], seen.headers, context);
        expectChanges([said.responseHeaders, cluster!.responseHeaders], answer.headers, context);
      }
    });
  },
);
