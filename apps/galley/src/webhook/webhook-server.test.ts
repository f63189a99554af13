// Webhooks as the API server calls them: HTTPS with the name of the Service, AdmissionReview in and out.
import { request as httpsRequest } from 'node:https';
import { StaticIdentity } from '@lateen/identity';
import { TestAuthority } from '@lateen/identity/testing';
import { createLogger } from '@lateen/telemetry';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { istioRules } from '../istio-rules.js';
import { createValidator } from './validate-review.js';
import { type AdmissionHandler, startWebhookServer, type WebhookServer } from './webhook-server.js';

const NAME = 'galley.istio-system.svc';
let authority: TestAuthority;
let source: StaticIdentity;
let server: WebhookServer;
const onValidated = vi.fn();
const onAnswered = vi.fn();

const issue = (from: TestAuthority) =>
  from.issue({ namespace: 'istio-system', serviceAccount: 'galley', dnsNames: [NAME] });

beforeEach(async () => {
  authority = await TestAuthority.create();
  source = new StaticIdentity(await issue(authority));
  const state = { version: 1, resources: new Map() };
  await start({ '/validate': createValidator({ rules: istioRules, state: () => state, onValidated }) });
});
afterEach(async () => {
  await server.close();
  vi.clearAllMocks();
});

async function start(
  routes: Record<string, AdmissionHandler>,
  { maxHeldBytes }: { readonly maxHeldBytes?: number } = {},
): Promise<void> {
  const logger = createLogger('galley', 'silent');
  const at = { address: '127.0.0.1', port: 0 };
  server = await startWebhookServer({ source, ...at, routes, onAnswered, maxHeldBytes, logger });
}

interface Answer {
  readonly status: number;
  readonly body: string;
}

function post(
  path: string,
  body: unknown,
  { ca = authority.rootsPem, type = 'application/json', method = 'POST' } = {},
) {
  return new Promise<Answer>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: server.port, servername: NAME, ca, path, method, agent: false as const };
    const call = httpsRequest({ ...options, headers: { 'content-type': type } }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode!, body: text }));
    });
    call.on('error', reject);
    call.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

const reviews = (route: object, metadata: object = {}) => ({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'reviews', namespace: 'shop', ...metadata },
  spec: { hosts: ['reviews'], http: [route] },
});
const review = (object: object | null, changes: object = {}, apiVersion = 'admission.k8s.io/v1') => ({
  apiVersion,
  kind: 'AdmissionReview',
  request: {
    uid: 'u1',
    kind: { group: 'networking.istio.io', version: 'v1', kind: 'VirtualService' },
    operation: 'CREATE',
    namespace: 'shop',
    name: 'reviews',
    object,
    ...changes,
  },
});
const GOOD = { timeout: '1s', route: [{ destination: { host: 'reviews' } }] };
const BAD = { timeout: '5q', retries: { attempts: -1 }, route: [{ destination: { host: 'reviews' } }] };

async function validate(object: object | null, changes: object = {}) {
  const { status, body } = await post('/validate?timeout=10s', review(object, changes));
  expect(status).toBe(200);
  const { response } = JSON.parse(body);
  expect(response.uid).toBe('u1');
  return response as { allowed: boolean; status?: { message: string; code: number }; warnings?: string[] };
}

describe('/validate', () => {
  it('takes what is valid', async () => {
    expect(await validate(reviews(GOOD))).toEqual({ uid: 'u1', allowed: true });
    expect(onValidated).toHaveBeenCalledWith('VirtualService', []);
  });

  it('refuses what is not, with every problem, its field and its remedy, in the words of validate', async () => {
    const { allowed, status } = await validate(reviews(BAD));
    expect(allowed).toBe(false);
    const { problems } = istioRules.parse([{ name: 'x', content: JSON.stringify(reviews(BAD)) }], 'default');
    expect(status?.message.split('\n')).toEqual(
      problems.map(({ path, message }) => `VirtualService/shop/reviews ${path}: ${message}`),
    );
    expect(status?.message).toContain('spec.http[0].timeout');
    expect(status?.code).toBe(422);
    expect((await validate(reviews(BAD), { operation: 'UPDATE', dryRun: true })).allowed).toBe(false);
  });

  it('warns of what is accepted but should be known', async () => {
    const { allowed, warnings } = await validate(
      reviews({ route: [{ destination: { host: 'reviews', subset: 'v2' } }] }),
    );
    expect(allowed).toBe(true);
    expect(warnings).toEqual([expect.stringMatching(/^VirtualService\/shop\/reviews spec\.http\[0\].*subset `v2`/)]);
  });

  it('takes every deletion, status, foreign kind, and object that is only to lose a finalizer', async () => {
    expect((await validate(null, { operation: 'DELETE', oldObject: reviews(BAD) })).allowed).toBe(true);
    expect((await validate(reviews(BAD), { operation: 'UPDATE', subResource: 'status' })).allowed).toBe(true);
    expect((await validate({}, { kind: { group: '', version: 'v1', kind: 'Pod' } })).allowed).toBe(true);
    const deleted = reviews(BAD, { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [] });
    expect((await validate(deleted, { operation: 'UPDATE' })).allowed).toBe(true);
  });

  it('does not mind what the API server adds to an object', async () => {
    const metadata = {
      uid: 'x',
      generation: 2,
      resourceVersion: '7',
      creationTimestamp: 'now',
      managedFields: [{ manager: 'x' }],
    };
    expect((await validate({ ...reviews(GOOD, metadata), status: { any: 1 } })).allowed).toBe(true);
  });
});

describe('the server', () => {
  it('answers in the version that it was asked in', async () => {
    const { body } = await post('/validate', review(reviews(GOOD), {}, 'admission.k8s.io/v1beta1'));
    expect(JSON.parse(body).apiVersion).toBe('admission.k8s.io/v1beta1');
  });

  it('says what is wrong with a call', async () => {
    expect(await post('/other', review(null))).toEqual({ status: 404, body: 'there is no webhook at /other\n' });
    expect((await post('/validate', '', { method: 'GET' })).status).toBe(405);
    expect((await post('/validate', 'x', { type: 'text/plain' })).status).toBe(415);
    expect((await post('/validate', '{')).status).toBe(400);
    expect(await post('/validate', { kind: 'Pod' })).toMatchObject({
      status: 400,
      body: 'the body is no AdmissionReview\n',
    });
    expect((await post('/validate', ' '.repeat(9 * 1024 * 1024))).status).toBe(413);
    expect(onAnswered).toHaveBeenCalledWith('/validate', 413);
  });

  it('refuses a target that is no path, and serves on: anybody in the cluster can send one', async () => {
    for (const target of ['//', '//[', '/\\']) {
      expect(await post(target, review(null))).toMatchObject({
        status: 400,
        body: expect.stringContaining('is no path'),
      });
    }
    expect((await validate(reviews(GOOD))).allowed).toBe(true);
  });

  it('answers 500 for a handler that fails, and serves on', async () => {
    await server.close();
    await start({
      '/inject': (_review, { path }) => {
        if (path === '/inject/fail') throw new Error('no template');
        return { path };
      },
    });
    expect(await post('/inject/fail', review(null))).toEqual({ status: 500, body: 'no template\n' });
    expect(await post('/inject/cluster/c1', review(null))).toEqual({
      status: 200,
      body: '{"path":"/inject/cluster/c1"}',
    });
  });

  it('holds no more of all calls together than it may, and answers again once they are over', async () => {
    await server.close();
    let letGo = () => {};
    const isOver = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    const asked = vi.fn(() => isOver.then(() => ({})));
    await start({ '/inject': asked }, { maxHeldBytes: 100_000 });
    const large = { ...review(null), padding: ' '.repeat(60_000) };
    const first = post('/inject', large);
    await expect.poll(() => asked).toHaveBeenCalledTimes(1);
    expect(await post('/inject', large)).toMatchObject({ status: 503, body: expect.stringContaining('try again') });
    letGo();
    expect((await first).status).toBe(200);
    expect((await post('/inject', large)).status).toBe(200);
  });

  it('shows the newest certificate', async () => {
    const other = await TestAuthority.create();
    await expect(post('/validate', review(null), { ca: other.rootsPem })).rejects.toThrow();
    source.replace(await issue(other));
    expect((await post('/validate', review(reviews(GOOD)), { ca: other.rootsPem })).status).toBe(200);
  });
});
