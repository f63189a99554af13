// Tests of `lateenctl explain`: documents to answer, and what it says of documents, names and requests that are wrong.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Explanation } from '@lateen/explain';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createProgram } from '../program.js';

const EXAMPLES = new URL('../../../../examples/', import.meta.url).pathname;
const BOOKINFO = `${EXAMPLES}bookinfo/bookinfo.yaml`;
const REVIEWS = ['-c', BOOKINFO, '-c', `${EXAMPLES}bookinfo/reviews-v3.yaml`];
const ASK = ['--from', 'productpage-v1', '--request', 'http://reviews:9080/reviews/0'];

let folder: string;
let said: string;
let errors: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-explain-'));
  said = '';
  errors = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    errors += String(text);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a command; the exit code, and the error's text where it has one. */
async function run(...args: readonly string[]): Promise<{ code: number; message: string }> {
  try {
    await createProgram().parseAsync([...args], { from: 'user' });
    return { code: 0, message: '' };
  } catch (error) {
    return { code: (error as { exitCode: number }).exitCode, message: (error as Error).message };
  }
}

async function answerTo(...args: readonly string[]): Promise<Explanation> {
  expect(await run('explain', ...args, '-o', 'json')).toEqual({ code: 0, message: '' });
  return JSON.parse(said) as Explanation;
}

function file(name: string, content: string): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

describe('an answer', () => {
  it('has pods of Deployments and lines of files', async () => {
    const answer = await answerTo(...REVIEWS, ...ASK);
    expect(answer.clusters.map(({ name, weight, endpoints }) => [name, weight, endpoints[0]?.pod])).toEqual([
      ['outbound|9080|v1|reviews.default.svc.cluster.local', 50, 'reviews-v1-0.default'],
      ['outbound|9080|v3|reviews.default.svc.cluster.local', 50, 'reviews-v3-0.default'],
    ]);
    const weights = answer.because.filter(({ decides }) => decides === 'clusters');
    expect(weights.map(({ file: name, line, path }) => [name.endsWith('reviews-v3.yaml'), line, path])).toContainEqual([
      true,
      35,
      'spec.http[0].route[1].destination',
    ]);
  });

  it('may be read', async () => {
    expect(await run('explain', ...REVIEWS, ...ASK)).toMatchObject({ code: 0 });
    expect(said).toContain('it is sent to outbound|9080|v1|reviews.default.svc.cluster.local (50), outbound|9080|v3|');
    expect(said).toMatch(
      /Route\s+VirtualService default\/reviews http\[0] {2}\(VirtualService \S*reviews-v3\.yaml:30\)/,
    );
    expect(said).toMatch(/Receiving side\s+reviews-v3\.default:9080 is PERMISSIVE; mutual TLS is taken/);
  });

  it('says what bounds a cluster, and when endpoints are left out', async () => {
    const limits = file(
      'limits.yaml',
      `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: limits }
spec:
  host: reviews
  trafficPolicy:
    connectionPool: { tcp: { maxConnections: 7 }, http: { http2MaxRequests: 20 } }
    outlierDetection: { consecutive5xxErrors: 5, interval: 2s, baseEjectionTime: 30s, maxEjectionPercent: 50 }
`,
    );
    expect(await run('explain', '-c', BOOKINFO, '-c', limits, ...ASK)).toMatchObject({ code: 0 });
    expect(said).toContain('  at most 7 connections, 20 requests at a time; beyond that 503 UO\n');
    expect(said).toContain(
      '  an endpoint is left out for 30000 ms and more after 5 errors (5xx) in a row, looked at every 2000 ms, at most 50% of them\n',
    );
  });

  it('names the VirtualService whose host is nearly the one that was called', async () => {
    const shop = file(
      'shop.yaml',
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: shop }
spec: { hosts: [shop.example.com], http: [{ directResponse: { status: 200 } }] }
`,
    );
    const ask = ['--from', 'productpage-v1', '--request', 'http://shop.exmaple.com/'];
    expect(await run('explain', '-c', BOOKINFO, '-c', shop, ...ask)).toMatchObject({ code: 0 });
    expect(said).toMatch(
      /VirtualService default\/shop is for the host shop\.example\.com: shop\.exmaple\.com, which was called, is nearly that {2}\(\S*shop\.yaml:4\)/,
    );
  });

  it('takes Services and Deployments from elsewhere, without a command to run', async () => {
    const app = file(
      'app.yaml',
      `apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: web}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: shop, image: shop, ports: [{name: web, containerPort: 8080}]}, {name: log, image: log}]}
`,
    );
    const rules = file(
      'rules.yaml',
      `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec: {hosts: [shop], http: [{timeout: 1s, route: [{destination: {host: shop}}]}]}
`,
    );
    const answer = await answerTo('-c', rules, '--services', app, '--from', 'shop', '--request', 'http://shop/');
    expect(answer).toMatchObject({ timeoutMs: 1000, from: { workload: 'shop' } });
    expect(answer.clusters[0]?.endpoints.map(({ pod, port }) => [pod, port])).toEqual([
      ['shop-0.default', 8080],
      ['shop-1.default', 8080],
    ]);
  });

  it('follows a mesh file, and names its line', async () => {
    const mesh = file('mesh.yaml', 'accessLogFile: /dev/stdout\noutboundTrafficPolicy:\n  mode: REGISTRY_ONLY\n');
    const answer = await answerTo(
      '-c',
      BOOKINFO,
      '--mesh-config',
      mesh,
      '--from',
      'details-v1',
      '--request',
      'http://x.example/',
    );
    expect(answer).toMatchObject({ status: 502, virtualHost: 'block_all' });
    expect(answer.because).toMatchObject([{ kind: 'MeshConfig', file: mesh, line: 2, path: 'outboundTrafficPolicy' }]);
    expect(answer.notes.join()).not.toContain('ALLOW_ANY');
  });
});

describe('what is wrong', () => {
  it('with documents is said as by validate', async () => {
    const wrong = file(
      'wrong.yaml',
      'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a], http: [{rout: []}]}\n',
    );
    expect((await run('validate', '-f', wrong)).code).toBe(1);
    const byValidate = errors;
    errors = '';
    expect((await run('explain', '-c', wrong, ...ASK)).code).toBe(1);
    expect(errors).toBe(byValidate);
    expect(errors).toMatch(/wrong\.yaml:4:\d+ VirtualService\/default\/a spec\.http\[0].*unknown field `rout`/);
  });

  it('with the name of the caller is said with those that are close', async () => {
    const { code, message } = await run(
      'explain',
      ...REVIEWS,
      '--from',
      'productpag-v1',
      '--request',
      'http://reviews:9080/',
    );
    expect(code).toBe(1);
    expect(message).toMatch(
      /^--from: no workload "productpag-v1"; did you mean productpage-v1.*workloads are details-v1\.default/,
    );
  });

  it('with the request is a mistake of the command line', async () => {
    const { code, message } = await run('explain', ...REVIEWS, '--from', 'productpage-v1', '--request', 'reviews:9080');
    expect([code, message]).toEqual([2, '"reviews:9080" is no request; write it as \'GET http://reviews:9080/path\'']);
    expect((await run('explain', ...REVIEWS, ...ASK, '-H', 'end-user')).code).toBe(2);
    expect((await run('explain', ...REVIEWS, ...ASK, '-o', 'table')).code).toBe(2);
  });
});

describe('docs/explain.md', () => {
  const page = readFileSync(new URL('../../../../docs/explain.md', import.meta.url), 'utf8');
  const shown = [...page.matchAll(/```console\n\$ lateenctl ((?:.*\\\n)*.*)\n([\s\S]*?)\n```/g)];

  it('shows commands', () => expect(shown.length).toBeGreaterThan(3));

  it.each(shown.map(([, command, output]) => [command!, output!] as const))('%s', async (command, output) => {
    // Words, with quotes as a shell reads them.
    const words = [...command.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|(\S+)/g)].map(
      ([, quoted, bare]) => quoted ?? bare!,
    );
    expect(await run(...words)).toEqual({ code: 0, message: '' });
    expect(said.trimEnd()).toBe(output);
  });
});
