// Admin API: pages, the token, the Host check, redaction.

import { request } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { type Page, type PageServer, startPageServer } from './http-page.js';
import { redactSecrets } from './redact.js';

const servers: PageServer[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

const PAGES = new Map<string, Page>([
  ['/get', { method: 'GET', help: '', answer: (query) => ({ body: query.get('x') ?? 'none' }) }],
  ['/post', { method: 'POST', help: '', answer: () => ({ body: 'done' }) }],
  [
    '/fail',
    {
      method: 'GET',
      help: '',
      answer: () => {
        throw new Error('broken');
      },
    },
  ],
]);

async function start(): Promise<PageServer> {
  const server = await startPageServer({
    address: '127.0.0.1',
    port: 0,
    pages: PAGES,
    authorize: (authorization) => authorization === 'Bearer t',
  });
  servers.push(server);
  return server;
}

function call(server: PageServer, method: string, path: string, headers: Record<string, string> = {}) {
  return new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
    const options = { host: server.address, port: server.port, method, path, headers, agent: false };
    request(options, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, body }));
    })
      .on('error', reject)
      .end();
  });
}

it('answers pages by path and method', async () => {
  const server = await start();
  expect(await call(server, 'GET', '/get?x=1')).toEqual({ status: 200, body: '1' });
  expect(await call(server, 'HEAD', '/get')).toEqual({ status: 200, body: '' });
  expect((await call(server, 'GET', '/nope')).status).toBe(404);
  expect((await call(server, 'POST', '/get')).status).toBe(405);
  expect(await call(server, 'GET', '/fail')).toEqual({ status: 500, body: 'broken\n' });
});

it('demands the token for what changes something', async () => {
  const server = await start();
  expect((await call(server, 'POST', '/post')).status).toBe(401);
  expect((await call(server, 'POST', '/post', { authorization: 'Bearer wrong' })).status).toBe(401);
  expect((await call(server, 'POST', '/post', { authorization: 'Bearer t' })).body).toBe('done');
});

it.each([
  ['evil.example', 403],
  ['evil.example:15000', 403],
  ['10.0.0.1', 403],
  ['localhost:1', 200],
  ['127.0.0.1', 200],
  ['[::1]:15000', 200],
])('takes calls by its own addresses only: %s', async (host, status) => {
  expect((await call(await start(), 'GET', '/get', { host })).status).toBe(status);
});

it('says which address cannot be bound', async () => {
  const { port } = await start();
  const second = startPageServer({ address: '127.0.0.1', port, pages: PAGES, authorize: () => false });
  await expect(second).rejects.toThrow(`cannot serve the admin API on 127.0.0.1 port ${port}: `);
});

it('takes keys and tokens out of what is shown', () => {
  const shown = redactSecrets({
    tls_certificates: [
      { certificate_chain: { inline_string: 'chain' }, private_key: { inline_string: 'KEY' } },
      { private_key: { inline_bytes: 'S0VZ' } },
      { private_key: { filename: '/etc/key.pem' } },
    ],
    initial_metadata: [{ key: 'authorization', value: 'KEY' }],
    password: 'KEY',
  });
  expect(JSON.stringify(shown)).not.toMatch(/KEY|S0VZ/);
  expect(shown).toMatchObject({
    tls_certificates: [
      { certificate_chain: { inline_string: 'chain' }, private_key: { inline_string: '[redacted]' } },
      { private_key: { inline_bytes: 'W3JlZGFjdGVkXQ==' } },
      { private_key: { filename: '/etc/key.pem' } },
    ],
  });
});
