// Interop tests: stock Envoys on Pilot's ADS, as gateway and as sidecar, serve Bookinfo's routes with mutual TLS to Lateen sidecars.

import { readFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Answer, httpGet } from '../harness/http-get.js';
import { waitUntil } from '../harness/wait-until.js';
import { requireStockEnvoy } from './envoy-required.js';
import { MixedMesh } from './mixed-mesh.js';

const SERVICES = ['productpage', 'reviews'];
const PRODUCTPAGE = 1;
const REVIEWS_V1 = 2;
const EXAMPLES = new URL('../../examples/', import.meta.url);
const example = (path: string) => readFileSync(fileURLToPath(new URL(path, EXAMPLES)), 'utf8');

/** What the applications answer; `certificate` is what the caller's certificate said, as the proxy passed it on. */
interface Seen {
  readonly version: string;
  readonly certificate: string | undefined;
}

/** For requests with a header, at the gateway. */
const RATE_LIMIT = `
apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: { name: few, namespace: istio-system }
spec:
  selector: { matchLabels: { istio: ingressgateway } }
  rules:
    - { name: few, match: [{ headers: { x-limited: {} } }], by: [{ header: { name: x-limited } }], limit: { requests: 2, per: 1h } }
`;

const envoyPath = requireStockEnvoy();

describe.skipIf(envoyPath === undefined)('stock Envoy on Pilot', () => {
  let mesh: MixedMesh;

  const reviews =
    (version: string): RequestListener =>
    (request, response) => {
      const certificate = request.headers['x-forwarded-client-cert'];
      response.end(JSON.stringify({ version, certificate }));
    };

  /** Passes the user on, as Bookinfo's does, and answers with what the reviews said and who called itself. */
  const productpage: RequestListener = (request, response) => {
    const user = request.headers['end-user'];
    const headers: Record<string, string> = typeof user === 'string' ? { 'end-user': user } : {};
    const address = mesh.serviceAddress(PRODUCTPAGE, 'reviews', SERVICES);
    httpGet(`http://${address}:9080/reviews/0`, headers).then(
      ({ status, body }) => {
        response.statusCode = status;
        const caller = request.headers['x-forwarded-client-cert'];
        response.end(JSON.stringify({ caller, reviews: status === 200 ? JSON.parse(body) : body }));
      },
      (error: Error) => {
        response.statusCode = 500;
        response.end(error.message);
      },
    );
  };

  const node = (index: number, app: string, version: string, gateway = false) => ({
    podName: `${app}-${version}`,
    namespace: gateway ? 'istio-system' : 'default',
    workloadName: `${app}-${version}`,
    serviceAccount: gateway ? 'istio-ingressgateway' : `bookinfo-${app}`,
    labels: { app, version, ...(gateway ? { istio: 'ingressgateway' } : {}) },
    address: mesh.podAddress(index),
    gateway,
  });

  /** Through the Envoy that is the gateway. */
  const page = (user?: string): Promise<Answer> =>
    httpGet(`http://${mesh.podAddress(0)}:8080/productpage`, user === undefined ? {} : { 'end-user': user });

  async function reviewsSeen(user?: string): Promise<Seen> {
    const { status, body } = await page(user);
    if (status !== 200) throw new Error(`the page answers ${status}: ${body.slice(0, 300)}`);
    return (JSON.parse(body) as { reviews: Seen }).reviews;
  }

  beforeAll(async () => {
    mesh = await MixedMesh.start(envoyPath ?? '');
    await waitUntil('galley to take configuration', () =>
      mesh.operator.apply('peer-authentication.yaml', example('handbook/peer-authentication-default.yaml')),
    );
    for (const file of ['gateway-bookinfo', 'virtual-service-reviews', 'destination-rule-reviews']) {
      await mesh.operator.apply(`${file}.yaml`, example(`handbook/${file}.yaml`));
    }
    await mesh.operator.apply('gateway-routes.yaml', example('bookinfo/gateway-routes.yaml'));
    await mesh.run(
      [
        { node: node(0, 'istio-ingressgateway', 'latest', true), proxy: 'envoy-delta' },
        { node: node(PRODUCTPAGE, 'productpage', 'v1'), proxy: 'envoy', app: productpage },
        { node: node(REVIEWS_V1, 'reviews', 'v1'), proxy: 'lateen', app: reviews('v1') },
        { node: node(3, 'reviews', 'v2'), proxy: 'lateen', app: reviews('v2') },
        { node: node(4, 'reviews', 'v3'), proxy: 'lateen', app: reviews('v3') },
      ],
      SERVICES,
    );
    try {
      for (const user of ['jason', undefined]) {
        await waitUntil(`the page of ${user ?? 'everybody'}`, async () => (await page(user)).status === 200, 60_000);
      }
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${mesh.output()}`);
    }
  });

  afterAll(() => mesh?.stop());

  test('jason gets reviews v2, everybody else v1', async () => {
    for (let call = 0; call < 10; call++) {
      expect((await reviewsSeen('jason')).version).toBe('v2');
      expect((await reviewsSeen('maria')).version).toBe('v1');
      expect((await reviewsSeen()).version).toBe('v1');
    }
  });

  test('each hop is mutual TLS, whichever proxy is at its ends', async () => {
    const { body } = await page();
    const { caller, reviews: seen } = JSON.parse(body) as { caller: string; reviews: Seen };
    // Envoy to Envoy, and Envoy to Lateen: the last element of the header is what the nearest proxy saw.
    expect(caller.split(',').at(-1)).toContain('URI=spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway');
    expect(seen.certificate).toContain('URI=spiffe://cluster.local/ns/default/sa/bookinfo-productpage');
    // Lateen to Envoy: what the application of reviews would call.
    const address = mesh.serviceAddress(REVIEWS_V1, 'productpage', SERVICES);
    const fromLateen = await httpGet(`http://${address}:9080/productpage`);
    expect(fromLateen.status).toBe(200);
    const { caller: reviewsCaller } = JSON.parse(fromLateen.body) as { caller: string };
    expect(reviewsCaller).toContain('URI=spiffe://cluster.local/ns/default/sa/bookinfo-reviews');
  });

  test.each([
    ['Envoy', PRODUCTPAGE],
    ['Lateen', REVIEWS_V1],
  ])('plain text to the inbound port of %s is refused under STRICT', async (_, pod) => {
    await expect(httpGet(`http://${mesh.podAddress(pod)}:9080/`)).rejects.toThrow();
  });

  test('weights are kept, and a change of them loses no request', async () => {
    let stop = false;
    const failures: string[] = [];
    const load = (async () => {
      while (!stop) {
        const { status, body } = await page();
        if (status !== 200) failures.push(`${status}: ${body}`);
      }
    })();
    await mesh.operator.apply('reviews-v3.yaml', example('bookinfo/reviews-v3.yaml'));
    await waitUntil('the first answer of v3', async () => (await reviewsSeen()).version === 'v3');
    const counts: Record<string, number> = {};
    for (let call = 0; call < 200; call++) {
      const { version } = await reviewsSeen();
      counts[version] = (counts[version] ?? 0) + 1;
    }
    stop = true;
    await load;
    expect(failures).toEqual([]);
    expect(Object.keys(counts).sort()).toEqual(['v1', 'v3']);
    // Five standard deviations of a fair coin.
    expect(Math.abs((counts.v3 ?? 0) - 100)).toBeLessThan(36);
  });

  test('an Envoy writes the access log that the mesh asks for, with the route and cluster of Pilot', async () => {
    await page('jason');
    await waitUntil('a line of the access log', () =>
      mesh.outputOf('productpage-v1').includes('outbound|9080|v2|reviews.default.svc.cluster.local'),
    );
  });

  test('a RateLimit holds at an Envoy, by quotas that Pilot assigns', async () => {
    await mesh.operator.apply('rate-limit.yaml', RATE_LIMIT);
    const limited = () => httpGet(`http://${mesh.podAddress(0)}:8080/productpage`, { 'x-limited': 'yes' });
    // Until it has its quota an Envoy lets requests through.
    await waitUntil('a refusal', async () => (await limited()).status === 429);
    for (let call = 0; call < 5; call++) expect((await limited()).status).toBe(429);
    expect((await page()).status).toBe(200);
  });

  test.each(['istio-ingressgateway-latest', 'productpage-v1'])('%s refused nothing that Pilot sent', async (pod) => {
    const stats = (await mesh.admin(pod, '/stats?filter=update_rejected|update_success|create_failure')).split('\n');
    const value = (line: string) => Number(line.slice(line.lastIndexOf(' ')));
    const refused = stats.filter((line) => /update_rejected|create_failure/.test(line) && value(line) > 0);
    expect(refused).toEqual([]);
    for (const service of ['cluster_manager.cds', 'listener_manager.lds']) {
      const taken = stats.find((line) => line.startsWith(`${service}.update_success`)) ?? '0';
      expect(value(taken), service).toBeGreaterThan(0);
    }
  });
});
