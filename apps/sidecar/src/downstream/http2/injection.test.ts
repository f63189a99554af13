// Heads of HTTP/2 that would be something else in HTTP/1.1: none of them reaches an upstream.

import { expect, it } from 'vitest';
import { startOneCluster } from '../../testing/one-cluster.js';
import {
  DATA,
  END_STREAM,
  frame,
  GET,
  goawayCode,
  HEADERS,
  head,
  opening,
  POST,
  untilFrame,
} from '../../testing/raw-http2.js';

type Fields = readonly (readonly [string, string])[];

const PROTOCOL_ERROR = 1;

/** A GET with other pseudo headers, and headers after them. */
function withFields(changes: Readonly<Record<string, string>>, ...headers: Fields): Fields {
  const changed = GET.map(([name, value]) => [name, changes[name] ?? value] as const);
  return [...changed, ...headers];
}

const REFUSED: readonly (readonly [string, Fields])[] = [
  ['a path with a space', withFields({ ':path': '/ HTTP/1.1' })],
  ['a path with a request behind it', withFields({ ':path': '/ HTTP/1.1\r\nhost: x\r\n\r\nGET /admin' })],
  ['a path with a line end', withFields({ ':path': '/\nx: y' })],
  ['a path with a tab', withFields({ ':path': '/\tx' })],
  ['a path with a NUL', withFields({ ':path': '/\0' })],
  ['a path outside of ASCII', withFields({ ':path': '/\xe9' })],
  ['an empty path', withFields({ ':path': '' })],
  ['a path without a slash', withFields({ ':path': 'admin' })],
  ['a URL for a path', withFields({ ':path': 'http://x/admin' })],
  ['a method with a path in it', withFields({ ':method': 'GET /admin HTTP/1.1\r\nx:' })],
  ['a method with a space', withFields({ ':method': 'GET /admin?' })],
  ['a method in small letters', withFields({ ':method': 'delete' })],
  ['an empty method', withFields({ ':method': '' })],
  ['a scheme with a path in it', withFields({ ':scheme': 'http://x/admin?' })],
  ['an authority with a line end', withFields({ ':authority': 'x\r\nx: y' })],
  ['an authority with a space', withFields({ ':authority': 'x y' })],
  ['two paths', withFields({}, [':path', '/admin'])],
  ['two methods', withFields({}, [':method', 'DELETE'])],
  ['two authorities', withFields({}, [':authority', 'y'])],
  ['a path behind a header', [...GET.slice(0, 2), ['x', 'y'], ...GET.slice(2)]],
  ['an unknown pseudo header', withFields({}, [':admin', '1'])],
  ['a status', withFields({}, [':status', '200'])],
  ['no path', GET.filter(([name]) => name !== ':path')],
  ['a header name with a colon', withFields({}, ['x:y', '1'])],
  ['a header name with a space', withFields({}, ['x y', '1'])],
  ['a header name with a line end', withFields({}, ['x\r\nhost: y\r\nz', '1'])],
  ['a header name in capitals', withFields({}, ['X-Role', '1'])],
  ['a header without a name', withFields({}, ['', '1'])],
  ['a value with line ends', withFields({}, ['x', 'y\r\n\r\nGET /admin HTTP/1.1\r\nhost: x'])],
  ['a value with a line feed', withFields({}, ['x', 'y\nz: 1'])],
  ['a value with a carriage return', withFields({}, ['x', 'y\rz'])],
  ['a value with a NUL', withFields({}, ['x', 'y\0'])],
  ['transfer-encoding', withFields({ ':method': 'POST' }, ['transfer-encoding', 'chunked'])],
  ['connection', withFields({}, ['connection', 'x-role'])],
  ['upgrade', withFields({}, ['upgrade', 'h2c'])],
  ['keep-alive', withFields({}, ['keep-alive', '1'])],
  ['proxy-connection', withFields({}, ['proxy-connection', 'close'])],
  ['te other than trailers', withFields({}, ['te', 'gzip'])],
  ['a host other than the authority', withFields({}, ['host', 'y'])],
  ['two lengths', withFields({ ':method': 'POST' }, ['content-length', '0'], ['content-length', '1'])],
  ['a length with a sign', withFields({ ':method': 'POST' }, ['content-length', '+0'])],
  ['a length that nothing follows', withFields({ ':method': 'POST' }, ['content-length', '3'])],
];

it('are refused one by one, and the first that the upstream hears of all that is a good request', async () => {
  const { proxy, upstream, log } = await startOneCluster();
  for (const [what, fields] of REFUSED) {
    const before = log.length;
    const client = await proxy.client();
    client.send(Buffer.concat([opening(), head(1, fields)]));
    const answered = () => log.slice(before).some(({ responseCode }) => responseCode === 400);
    await client.until(
      ({ received, ended }) => ended || goawayCode(received) >= 0 || answered(),
      `a refusal of ${what}`,
    );
    if (!answered()) expect([what, goawayCode(client.received)]).toEqual([what, PROTOCOL_ERROR]);
    client.socket.destroy();
  }
  const client = await proxy.client();
  client.send(Buffer.concat([opening(), head(1, withFields({ ':path': '/good' }, ['host', 'x']))]));
  const server = await upstream.next();
  const { head: seen } = await server.message();
  expect(seen).toMatch(/^GET \/good HTTP\/1\.1\r\n/);
  expect(seen.match(/^host: .*$/gim)).toEqual(['host: x']);
  server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await untilFrame(client, ({ type }) => type === HEADERS, 'the answer');
});

it('are no part of a body that looks like chunks and a request behind them', async () => {
  const { proxy, upstream } = await startOneCluster();
  const parts = ['0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n', '\r\n0;x\r\n\r\n', '5;last\r\n'];
  const client = await proxy.client();
  client.send(
    Buffer.concat([opening(), head(1, POST, 0), ...parts.map((part) => frame(DATA, 0, 1, Buffer.from(part)))]),
  );
  client.send(frame(DATA, END_STREAM, 1));
  const server = await upstream.next();
  const isWhole = (text: string) => text.endsWith('\r\n0\r\n\r\n') && text.includes(parts[2]!);
  await server.until(({ received }) => isWhole(received), 'the whole request');
  const [requestHead = ''] = server.received.split('\r\n\r\n');
  expect(requestHead).toMatch(/\r\ntransfer-encoding: chunked(\r\n|$)/);
  expect(unchunked(server.received.slice(requestHead.length + 4))).toEqual([parts.join(''), '']);
  server.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  await untilFrame(client, ({ type }) => type === HEADERS, 'the answer');
});

/** What chunks say, and what stands behind the last of them. */
function unchunked(text: string): [body: string, behind: string] {
  let body = '';
  let at = 0;
  for (;;) {
    const line = text.indexOf('\r\n', at);
    const size = Number.parseInt(text.slice(at, line), 16);
    if (size === 0) return [body, text.slice(line + 4)];
    body += text.slice(line + 2, line + 2 + size);
    at = line + 4 + size;
  }
}
