// Interception tests: the programs in namespaces: servers that say whom they talk to, and clients. `node peer.mjs COMMAND …`
import { createSocket } from 'node:dgram';
import { lookup } from 'node:dns';
import { createServer as createHttpServer, request } from 'node:http';
import { connect, createServer } from 'node:net';

const [command, ...words] = process.argv.slice(2);
const addressText = (address, port) => (address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
const ends = (socket) => ({
  from: addressText(socket.remoteAddress, socket.remotePort),
  to: addressText(socket.localAddress, socket.localPort),
});

/** http NAME ADDRESS PORT: answers each request with what it knows of it. */
function http(name, address, port) {
  createHttpServer((incoming, response) => {
    const { url, headers, socket } = incoming;
    response.end(JSON.stringify({ name, url, host: headers.host, ...ends(socket) }));
  }).listen({ host: address, port: Number(port), ipv6Only: true }, () => console.log('listening'));
}

/** tcp NAME ADDRESS PORT: speaks first, then echoes. */
function tcp(name, address, port) {
  createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(`${JSON.stringify({ name, ...ends(socket) })}\n`);
    socket.pipe(socket);
  }).listen({ host: address, port: Number(port), ipv6Only: true }, () => console.log('listening'));
}

/** get ADDRESS PORT HOST [HEADER VALUE]: the status and body of one request. */
function get(address, port, host, header, value) {
  const headers = { host, ...(header === undefined ? {} : { [header]: value }) };
  const call = request({ host: address, port, headers, path: '/asked', agent: false }, (response) => {
    let body = '';
    response.on('data', (chunk) => (body += chunk));
    response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, body })));
  });
  call.on('error', (error) => console.log(JSON.stringify({ error: error.code })));
  call.end();
}

/** fetch METHOD ADDRESS PORT PATH: the status and body of one request. */
function fetchPath(method, address, port, path) {
  const call = request({ method, host: address, port, path, agent: false }, (response) => {
    let body = '';
    response.on('data', (chunk) => {
      body += chunk;
    });
    response.on('end', () => console.log(JSON.stringify({ status: response.statusCode, body })));
  });
  call.setTimeout(5000, () => call.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })));
  call.on('error', (error) => console.log(JSON.stringify({ error: error.code })));
  call.end();
}

/** dns ADDRESS PORT ANSWER: a name server that has this address for every name of type A, and no other records. */
function dns(address, port, answer) {
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    let end = 12;
    while (message[end] !== 0) end += message[end] + 1;
    const question = message.subarray(12, end + 5);
    const isA = question.readUInt16BE(question.length - 4) === 1;
    const header = Buffer.from(message.subarray(0, 12));
    header.writeUInt16BE(0x8180, 2);
    header.writeUInt16BE(isA ? 1 : 0, 6);
    header.writeUInt16BE(0, 10);
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...answer.split('.').map(Number)]);
    socket.send(Buffer.concat([header, question, ...(isA ? [record] : [])]), peer.port, peer.address);
  });
  socket.bind(Number(port), address, () => console.log('listening'));
}

/** resolve NAME: its addresses, as the system's own resolver finds them. */
function resolveName(name) {
  lookup(name, { all: true }, (error, addresses) => {
    console.log(JSON.stringify(error ? { error: error.code } : { addresses: addresses.map((each) => each.address) }));
  });
}

/** talk ADDRESS PORT TEXT: what the server says first, and whether the text comes back. */
function talk(address, port, text) {
  let said = '';
  const socket = connect({ host: address, port: Number(port) }, () => socket.write(text));
  const done = (result) => {
    console.log(JSON.stringify(result));
    socket.destroy();
  };
  socket.on('data', (chunk) => {
    said += chunk;
    const end = said.indexOf('\n');
    if (end > 0 && said.slice(end + 1) === text) done({ ...JSON.parse(said.slice(0, end)), echoed: true });
  });
  socket.on('error', (error) => done({ error: error.code }));
  socket.on('end', () => done({ error: 'ended', said }));
}

/**
 * churn ADDRESS[,ADDRESS…] PORT COUNT RATE: new connections, so many a second (0: one after the other), each with one echo; how many
 * failed, and how long they took (ms) from the first packet to the echo.
 */
async function churn(addresses, port, count, rate) {
  const hosts = addresses.split(',');
  let next = 0;
  const times = [];
  let failed = 0;
  const once = () =>
    new Promise((resolve) => {
      const start = performance.now();
      let said = '';
      const host = hosts[next++ % hosts.length];
      const socket = connect({ host, port: Number(port), noDelay: true }, () => socket.write('x'));
      const end = (good) => {
        if (good) times.push(performance.now() - start);
        else failed++;
        socket.removeAllListeners('close');
        socket.destroy();
        resolve();
      };
      socket.on('data', (chunk) => {
        said += chunk;
        if (said.endsWith('\nx')) end(true);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => end(false));
    });
  const startMs = performance.now();
  const open = [];
  for (let index = 0; index < Number(count); index++) {
    if (Number(rate) === 0) {
      await once();
      continue;
    }
    const waitMs = startMs + (index * 1000) / Number(rate) - performance.now();
    if (waitMs > 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
    open.push(once());
  }
  await Promise.all(open);
  times.sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(times.length * share))];
  console.log(
    JSON.stringify({ failed, p50Ms: at(0.5), p99Ms: at(0.99), seconds: (performance.now() - startMs) / 1000 }),
  );
}

const run = { http, tcp, get, fetch: fetchPath, dns, resolve: resolveName, talk, churn }[command];
if (run === undefined) throw new Error(`unknown command ${command}`);
await run(...words);
