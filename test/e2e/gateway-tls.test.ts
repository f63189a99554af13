// End-to-end: docs/gateway-tls.md as it is written: Secrets and Gateways by `lateenctl apply`, real TLS clients, and no key where it does not belong.

import { readFileSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getTls } from '../contract/tls/tls-client.js';
import { httpGet } from '../harness/http-get.js';
import { waitUntil } from '../harness/wait-until.js';
import { filesBelow, filesWrittenBy, outputsOf, secretsOf, shownIn } from './key-material.js';
import { echoDocuments, LocalMesh } from './local-mesh.js';

const TIME_LIMIT_MS = 120_000;
const PAGE = fileURLToPath(new URL('../../docs/gateway-tls.md', import.meta.url));
const BLOCKS = [...readFileSync(PAGE, 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, block]) => block ?? '');
const HTTPS = blockOf('credentialName: shop');
const PARTNER = blockOf('mode: MUTUAL');
const THROUGH = blockOf('mode: PASSTHROUGH');
/** Shows its own certificate, whatever it is asked. */
const STORE = `
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
const options = { cert: readFileSync('store.crt'), key: readFileSync('store.key') };
createServer(options, (socket) => socket.on('error', () => {}).end('store of ' + socket.servername))
  .listen(Number(process.env.PORT), process.env.HOST);
`;
const PRODUCTPAGE = echoDocuments()
  .replaceAll(/\becho\b(?!\.mjs)/g, 'productpage')
  .replace('{port: 80, name: http,', '{port: 9080, name: http,')
  .replaceAll('http-productpage', 'http-echo');
const STORE_DOCUMENTS = `---
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {selector: {app: store}, ports: [{port: 8443, name: tls}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: store}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata:
      labels: {app: store}
      annotations: {lateen.io/local-command: '["node", "store.mjs"]'}
    spec:
      containers: [{name: store, image: "store:1", ports: [{containerPort: 8443}]}]
`;

/** Keys of an issuer that signs by a shared secret. */
const HMAC_SECRET = Buffer.from('a secret that only the issuer knows').toString('base64url');
const signedBySecret = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: signed, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  jwtRules:
    - issuer: issuer.example.com
      jwks: '{"keys":[{"kty":"oct","kid":"h","alg":"HS256","k":"${HMAC_SECRET}"}]}'
`;

/** The first document of the page that says so. */
function blockOf(text: string): string {
  const found = BLOCKS.find((block) => block.includes(text));
  if (found === undefined) throw new Error(`docs/gateway-tls.md has no document with \`${text}\``);
  return found;
}

function secret(name: string, values: Readonly<Record<string, string>>): string {
  const data = Object.entries(values).map(([key, text]) => `  ${key}: ${Buffer.from(text).toString('base64')}\n`);
  return `---\napiVersion: v1\nkind: Secret\nmetadata: {name: ${name}, namespace: istio-system}\ndata:\n${data.join('')}`;
}

describe('the page about TLS at a gateway', () => {
  const mesh = new LocalMesh();
  const certificates: Record<string, WebCertificate> = {};
  let authority: TestWebAuthority;
  let httpPort = 0;
  let port = 0;

  const shop = (name: string) => {
    const { certPem, keyPem } = certificates[name]!;
    return secret('shop', { 'tls.crt': certPem, 'tls.key': keyPem });
  };
  const apply = (documents: string) => mesh.ok('apply', '-f', mesh.write('documents.yaml', documents));
  const get = (servername: string, options: object = {}) =>
    getTls({ host: '127.0.0.1', port, servername, ca: authority.rootsPem, rejectUnauthorized: true, ...options });
  const answering = (what: string, servername: string, options: object = {}) =>
    waitUntil(what, async () => (await get(servername, options)).status === 200);

  beforeAll(async () => {
    authority = await TestWebAuthority.create('trial');
    const dnsNames = ['shop.example.com', 'partner.example.com', 'store.through.example.com'];
    for (const name of ['first', 'second', 'client', 'store']) {
      certificates[name] = await authority.issue({ dnsNames, subject: name });
    }
    mesh.write('store.mjs', STORE);
    mesh.write('store.crt', certificates.store!.certPem);
    mesh.write('store.key', certificates.store!.keyPem);
    mesh.write('mesh-documents.yaml', `${PRODUCTPAGE}${STORE_DOCUMENTS}`);
    await mesh.up('-f', 'mesh-documents.yaml');
    const { ingress } = await mesh.status();
    httpPort = ingress.port;
    port = ingress.httpsPort;
  }, TIME_LIMIT_MS);

  afterAll(() => mesh.remove(), TIME_LIMIT_MS);

  it(
    'serves HTTPS once the Secret is there, and redirects plain HTTP to it',
    async () => {
      await apply(HTTPS);
      await waitUntil('the redirect', async () => {
        const url = `http://127.0.0.1:${httpPort}/productpage`;
        const { status, headers } = await httpGet(url, { host: 'shop.example.com' });
        return status === 301 && headers.location === 'https://shop.example.com/productpage';
      });
      const described = await mesh.ok('describe', 'pod', 'istio-ingressgateway-0.istio-system');
      expect(described).toContain('there is no Secret istio-system/shop');
      await expect(get('shop.example.com')).rejects.toThrow();
      await apply(shop('first'));
      await answering('the server of the Secret', 'shop.example.com');
      expect((await get('shop.example.com')).serial).toBe(certificates.first!.serial);
    },
    TIME_LIMIT_MS,
  );

  it(
    'asks the clients of one server for certificates, and passes TLS of another through',
    async () => {
      const { certPem, keyPem } = certificates.first!;
      await apply(
        `${PARTNER}${secret('partner', { cert: certPem, key: keyPem, cacert: authority.rootsPem })}---\n${THROUGH}`,
      );
      const { certPem: cert, keyPem: key } = certificates.client!;
      await answering('the server for partners', 'partner.example.com', { cert, key });
      await expect(get('partner.example.com')).rejects.toThrow();
      const text = await waitUntil('the store', () => through(port));
      expect(text).toEqual(['store of store.through.example.com', certificates.store!.serial]);
      expect((await get('shop.example.com')).status).toBe(200);
    },
    TIME_LIMIT_MS,
  );

  it(
    'shows a renewed certificate to new clients, also after Pilot was restarted without the supervisor knowing more',
    async () => {
      await apply(shop('second'));
      const serial = async () => (await get('shop.example.com')).serial;
      await waitUntil('the renewed certificate', async () => (await serial()) === certificates.second!.serial);
      await mesh.ok('local', 'stop', 'pilot');
      expect(await serial()).toBe(certificates.second!.serial);
      await mesh.ok('local', 'start', 'pilot');
      await waitUntil('pilot', async () => (await mesh.status()).ready);
      expect(await serial()).toBe(certificates.second!.serial);
    },
    TIME_LIMIT_MS,
  );

  it(
    'has keys in private files only, and shows them nowhere',
    async () => {
      await apply(signedBySecret);
      const secrets = secretsOf(mesh);
      const places = [...new Set(secrets.map(({ name }) => name))];
      expect(places).toEqual(expect.arrayContaining(['supervisor/secrets.json', 'pilot/credentials.json']));
      expect(places.filter((name) => /key\.pem$/.test(name)).length).toBeGreaterThan(5);
      expect(places.filter((name) => /token$/.test(name)).length).toBeGreaterThan(5);

      const forms = secrets.flatMap((each) => each.forms);
      for (const { name, mode, content } of filesBelow(mesh.stateDir)) {
        const isSecret = places.includes(name) || forms.some((form) => content.includes(form));
        if (isSecret) expect([name, (mode & 0o077).toString(8)]).toEqual([name, '0']);
        if (isSecret) expect(name).not.toMatch(/\.log$|objects\.json$|galley\/config|registry\.json$/);
      }
      for (const directory of ['.', 'citadel', 'galley', 'pilot', 'supervisor']) {
        expect([directory, statSync(join(mesh.stateDir, directory)).mode & 0o077]).toEqual([directory, 0]);
      }

      const written = await filesWrittenBy(mesh);
      expect(written.length).toBeGreaterThan(5);
      expect(written.filter((path) => !path.startsWith(`${realpathSync(mesh.stateDir)}/`))).toEqual([]);

      const outputs = await outputsOf(mesh);
      expect(outputs.get('proxy-config secret istio-ingressgateway-0.istio-system -o json')).toContain(
        'kubernetes://shop',
      );
      expect(shownIn(outputs, secrets)).toEqual([]);
      const inBase64 = Buffer.from(`-${certificates.second!.keyPem}`).toString('base64');
      expect(shownIn(new Map([['itself', inBase64]]), secrets)).toContain(
        'itself shows what is secret in pilot/credentials.json',
      );
      // Who may read configuration sees what was applied; nobody else does.
      for (const [name, text] of outputs)
        if (!name.startsWith('get ')) expect([name, text.includes(HMAC_SECRET)]).toEqual([name, false]);
      expect([...outputs.values()].some((text) => text.includes('local_jwks') && text.includes('[redacted]'))).toBe(
        true,
      );
    },
    TIME_LIMIT_MS,
  );

  it(
    'ends a server whose Secret is deleted, and no other',
    async () => {
      await mesh.ok('delete', 'secret', 'shop', '-n', 'istio-system');
      await waitUntil('the server to end', () =>
        get('shop.example.com').then(
          () => false,
          () => true,
        ),
      );
      const { certPem: cert, keyPem: key } = certificates.client!;
      expect((await get('partner.example.com', { cert, key })).status).toBe(200);
    },
    TIME_LIMIT_MS,
  );
});

/** What the store says through the gateway, and whose certificate it showed. */
function through(port: number): Promise<[string, string] | undefined> {
  return new Promise((resolve) => {
    let text = '';
    let serial = '';
    const servername = 'store.through.example.com';
    const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false }, () => {
      serial = socket.getPeerCertificate().serialNumber ?? '';
    });
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => resolve(text === '' ? undefined : [text, serial]));
  });
}
