// Interop tests: stock Envoys on Pilot's ADS, as gateway and as sidecar, serve Bookinfo's routes with mutual TLS to Lateen sidecars.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { getTls } from '../contract/tls/tls-client.js';
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

/** HTTPS beside the plain HTTP of the handbook's Gateway: with a Secret for clients with a certificate, and with files. */
const secureGateway = (certificate: string, privateKey: string) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: secure, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers:
    - port: { number: 443, name: https, protocol: HTTPS }
      hosts: [shop.example.com]
      tls: { mode: MUTUAL, credentialName: shop }
    - port: { number: 443, name: https-files, protocol: HTTPS }
      hosts: [files.example.com]
      tls: { mode: SIMPLE, serverCertificate: ${certificate}, privateKey: ${privateKey} }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: secure, namespace: default }
spec:
  hosts: [shop.example.com, files.example.com]
  gateways: [istio-system/secure]
  http:
    - route: [{ destination: { host: productpage, port: { number: 9080 } } }]
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

  /** Calls over new connections until this is so of the serial numbers that were shown; a call that fails fails the test. */
  async function serialsUntil(
    enough: (serials: ReadonlySet<string>) => boolean,
    options: Parameters<typeof getTls>[0],
  ): Promise<void> {
    const serials = new Set<string>();
    while (!enough(serials)) {
      const { status, serial } = await getTls(options, '/productpage');
      expect(status).toBe(200);
      serials.add(serial);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  test('an Envoy shows the certificates that its agent renews, and no call fails', async () => {
    const { keyPem: key = '', certChainPem: cert = '' } =
      (await mesh.plane.identity('caller', 'default')).current ?? {};
    const host = mesh.podAddress(PRODUCTPAGE);
    const options = { host, port: 9080, key, cert, ALPNProtocols: ['istio-http/1.1'] };
    await serialsUntil((serials) => serials.size >= 2, options);
  });

  test('an Envoy at the edge gets Secrets from Pilot and files from its agent, and others in their place without a failed call', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lateen-gateway-files-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const [certificateFile, keyFile] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
    const putFiles = ({ certPem, keyPem }: WebCertificate) => {
      writeFileSync(certificateFile, certPem);
      writeFileSync(keyFile, keyPem);
    };
    const servers = await TestWebAuthority.create('servers');
    const clients = await TestWebAuthority.create('clients');
    const issue = (name: string) => servers.issue({ dnsNames: [`${name}.example.com`] });
    const [first, second] = [await issue('shop'), await issue('shop')];
    const [firstFiles, secondFiles] = [await issue('files'), await issue('files')];
    const client = await clients.issue({ subject: 'partner', dnsNames: ['partner.example.org'] });
    const namespace = 'istio-system';
    const roots = { namespace, name: 'shop-cacert', values: { cacert: clients.rootsPem } };
    const server = { host: mesh.podAddress(0), port: 8443, servername: 'shop.example.com' };
    const ofSecret = { ...server, key: client.keyPem, cert: client.certPem };
    const ofFiles = { ...server, servername: 'files.example.com' };
    putFiles(firstFiles);
    await mesh.operator.apply('secure-gateway.yaml', secureGateway(certificateFile, keyFile));
    // One of the type kubernetes.io/tls, then a generic one.
    await mesh.giveSecrets([
      { namespace, name: 'shop', values: { 'tls.crt': first.certPem, 'tls.key': first.keyPem } },
      roots,
    ]);
    await waitUntil('HTTPS', async () => (await getTls(ofSecret, '/productpage')).serial === first.serial);
    await expect(getTls(server, '/productpage')).rejects.toThrow();
    await waitUntil('files', async () => (await getTls(ofFiles, '/productpage')).serial === firstFiles.serial);
    await mesh.giveSecrets([{ namespace, name: 'shop', values: { cert: second.certPem, key: second.keyPem } }, roots]);
    putFiles(secondFiles);
    await serialsUntil((serials) => serials.has(second.serial), ofSecret);
    await serialsUntil((serials) => serials.has(secondFiles.serial), ofFiles);
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
