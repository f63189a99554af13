// `bug-report`: what is in the archive of a cluster (an HTTP server that plays the API server's protocol) and of a local mesh that
// has ended, and that no secret is, wherever it stood.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { KubeConfig } from '@kubernetes/client-node';
import { resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { extract } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgram } from '../program.js';
import { stateLayout } from '../state/state-layout.js';
import { writeArchive } from './archive.js';
import { collectCluster } from './cluster-report.js';
import { Report } from './report.js';

const KEY_LINE = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnotakey';
const PRIVATE_KEY = `-----BEGIN PRIVATE KEY-----\n${KEY_LINE}\n-----END PRIVATE KEY-----\n`;
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmNkZWZnIn0.c2lnbmF0dXJlLW9mLWl0';
const SECRETS = {
  'value of a Secret': 'dmFsdWUtb2Ytc2VjcmV0',
  'private key': KEY_LINE,
  'private key in base64': Buffer.from(PRIVATE_KEY).toString('base64').slice(40, 80),
  token: TOKEN.slice(0, 40),
  password: 'hunter2-hunter2',
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-bug-report-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** What tar reads of it: name -> text. */
async function unpack(file: string): Promise<Map<string, string>> {
  const entries = new Map<string, string>();
  const reader = extract();
  reader.end(gunzipSync(readFileSync(file)));
  for await (const entry of reader) {
    const chunks: Buffer[] = [];
    for await (const chunk of entry) chunks.push(chunk as Buffer);
    entries.set(entry.header.name, Buffer.concat(chunks).toString('utf8'));
  }
  return entries;
}

function requireNoSecret(entries: ReadonlyMap<string, string>): void {
  const found = [...entries].flatMap(([name, text]) =>
    Object.entries(SECRETS).flatMap(([what, secret]) => (text.includes(secret) ? [`${what} in ${name}`] : [])),
  );
  expect(found).toEqual([]);
}

const LOG = [
  'the end of this log',
  `took ${JSON.stringify({ key: PRIVATE_KEY })}`,
  `authorization: Bearer ${TOKEN}`,
  `a bare ${TOKEN} too`,
  'connecting with password=hunter2-hunter2 to the database',
  PRIVATE_KEY,
].join('\n');

describe('of a cluster', () => {
  let server: FakeApiServer;
  const logQueries: string[] = [];
  beforeEach(async () => {
    server = await FakeApiServer.start();
    server.serve({ group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true });
    server.intercept = (request, response, url) => {
      if (url.pathname.endsWith('/log')) {
        logQueries.push(`${url.pathname}${url.search}`);
        response.end(LOG);
        return true;
      }
      if (request.method === 'GET' && request.headers.upgrade === undefined) return false;
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"kind":"Status","code":404}');
      return true;
    };
  });
  afterEach(() => server.stop());

  it('holds pods, events, logs of each container and what the mesh goes by, and no secret', async () => {
    const env = [
      { name: 'DB_PASSWORD', value: SECRETS.password },
      { name: 'PORT', value: '8080' },
    ];
    const lastApplied = { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ env }) };
    server.put(resourceTypes.pods, {
      metadata: { name: 'web', namespace: 'shop', annotations: lastApplied },
      spec: {
        containers: [{ name: 'web', image: 'web:1', env }],
        initContainers: [{ name: 'istio-proxy', image: 's:1' }],
      },
      status: { phase: 'Running', containerStatuses: [{ name: 'web', restartCount: 2 }] },
    } as never);
    server.put(resourceTypes.pods, { metadata: { name: 'other', namespace: 'apart' }, spec: { containers: [] } });
    server.put({ group: '', version: 'v1', kind: 'Event', plural: 'events', namespaced: true }, {
      metadata: { name: 'e1', namespace: 'shop' },
      message: `Back-off; --token ${TOKEN}`,
    } as never);
    const secret = { 'ca-key.pem': Buffer.from(PRIVATE_KEY).toString('base64'), other: SECRETS['value of a Secret'] };
    const namespace = 'istio-system';
    server.put(resourceTypes.secrets, { metadata: { name: 'istio-ca-secret', namespace }, data: secret });
    const mesh = `accessLogFile: /dev/stdout\nextra: ${secret['ca-key.pem']}\n`;
    server.put(resourceTypes.configMaps, { metadata: { name: 'istio', namespace }, data: { mesh } });
    server.put(resourceTypes.leases, {
      metadata: { name: 'lateen-citadel', namespace },
      spec: { holderIdentity: 'citadel-a' },
    });

    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromClusterAndUser({ name: 'fake', server: server.url, skipTLSVerify: false }, { name: 'me' });
    const client = server.client();
    const report = new Report();
    const scope = { namespaces: [], tailLines: 7, revision: 'default', role: 'viewer' } as const;
    await collectCluster(report, { client, access: { ...client.access, kubeConfig } }, scope);
    const file = join(folder, 'r.tar.gz');
    await writeArchive(file, report.entries, new Date());
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const entries = await unpack(file);
    requireNoSecret(entries);
    const read = (name: string) => entries.get(`bug-report/${name}`);
    expect(read('shop/pods.yaml')).toMatch(/name: DB_PASSWORD\n +value: "\[redacted\]"[\s\S]*value: "8080"/);
    expect(read('shop/events.yaml')).toContain('[token redacted]');
    for (const each of ['web', 'web.previous', 'istio-proxy']) {
      expect(read(`shop/logs/web/${each}.log`)).toMatch(/^the end of this log\n/);
    }
    expect(logQueries[0]).toBe(
      '/api/v1/namespaces/shop/pods/web/log?container=istio-proxy&tailLines=7&limitBytes=4194304&previous=false',
    );
    expect(read('istio-system/leases.yaml')).toContain('holderIdentity: citadel-a');
    expect(read('istio-system/configmaps.yaml')).toContain('accessLogFile: /dev/stdout');
    expect(read('analyze.txt')).toBeDefined();
    expect([...entries.keys()].filter((name) => name.includes('apart'))).toEqual([]);
    // What nobody answered is told, not left out in silence.
    expect(report.missing.join('\n')).toMatch(/what Pilot knows: no mesh is installed/);
    expect(report.missing.join('\n')).toMatch(
      /shop\/proxies\/web\/config_dump\.json: the sidecar of web\.shop does not answer/,
    );
  }, 30_000);
});

describe('of a mesh of this machine', () => {
  it('holds the logs that it left, and says what does not run', async () => {
    const layout = stateLayout(join(folder, 'state'));
    mkdirSync(layout.logs, { recursive: true });
    mkdirSync(layout.pod('shop', 'web-0'), { recursive: true });
    mkdirSync(layout.pod('apart', 'web-0'), { recursive: true });
    writeFileSync(join(layout.logs, 'pilot.log'), 'one\ntwo\nthree\n');
    writeFileSync(layout.meshConfigFile, 'trustDomain: here\n');
    for (const namespace of ['shop', 'apart']) writeFileSync(join(layout.pod(namespace, 'web-0'), 'sidecar.log'), LOG);
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const file = join(folder, 'local.tar.gz');
    const words = ['--state-dir', layout.root, 'bug-report', '-n', 'shop', '-o', file, '--tail'];
    await createProgram().parseAsync([...words, '2'], { from: 'user' });
    const entries = await unpack(file);
    requireNoSecret(entries);
    expect(entries.get('bug-report/logs/pilot.log')).toBe('two\nthree\n');
    expect(entries.get('bug-report/mesh-config.yaml')).toBe('trustDomain: here\n');
    expect(entries.has('bug-report/shop/logs/web-0/sidecar.log')).toBe(true);
    expect([...entries.keys()].filter((name) => name.includes('apart'))).toEqual([]);
    expect(entries.get('bug-report/missing.txt')).toMatch(/the mesh that runs: no mesh runs in/);
    // A report is not written over another.
    await expect(createProgram().parseAsync([...words, '2'], { from: 'user' })).rejects.toThrow('is there already');
    await expect(createProgram().parseAsync([...words, 'x'], { from: 'user' })).rejects.toThrow('not a number');
  });
});
