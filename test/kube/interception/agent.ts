// Interception tests, inside a namespace: a program that listens, dials and asks name servers as one user, told what to do by
// lines of JSON. Whoever answers a connection says in its first line who it is and where the connection was meant to go.
import { createSocket } from 'node:dgram';
import { createConnection, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import koffi from 'koffi';
import { type Answer, at, type Order, type Welcome } from './protocol.js';

const libc = koffi.load('libc.so.6');
const getsockopt = libc.func('int getsockopt(int fd, int level, int name, void *value, _Inout_ int *length)');
const setsockopt = libc.func('int setsockopt(int fd, int level, int name, void *value, int length)');

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** Also that of IPv6. */
const SO_ORIGINAL_DST = 80;
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
/** Longer than any step of the test. */
const TIMEOUT_MS = 10_000;

const descriptorOf = (handle: unknown): number => (handle as { _handle: { fd: number } })._handle.fd;

/** `ADDRESS:PORT` before the redirect; undefined where there was none. */
function originalDestination(socket: Socket): string | undefined {
  const isV6 = socket.localFamily === 'IPv6' && !socket.localAddress!.startsWith('::ffff:');
  const value = Buffer.alloc(28);
  const failed = getsockopt(descriptorOf(socket), isV6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, value, [isV6 ? 28 : 16]);
  if (failed !== 0) return undefined;
  const port = value.readUInt16BE(2);
  if (!isV6) return `${[...value.subarray(4, 8)].join('.')}:${port}`;
  const groups = Array.from({ length: 8 }, (_, index) => value.readUInt16BE(8 + index * 2).toString(16));
  return at(new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port);
}

function welcome(who: string, socket: Socket): Welcome {
  const plain = (address: string) => address.replace(/^::ffff:/, '');
  return {
    who,
    originalDestination: originalDestination(socket) ?? '',
    local: at(plain(socket.localAddress!), socket.localPort!),
    remote: plain(socket.remoteAddress!),
  };
}

/** Greets, then sends back whatever comes. */
function listen(who: string, port: number, host: string, transparent: boolean): Promise<Answer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(`${JSON.stringify(welcome(who, socket))}\n`);
      socket.pipe(socket);
    });
    server.once('error', (error) => resolve({ error: error.message }));
    server.listen({ port, host, ipv6Only: transparent && host.includes(':') }, () => {
      const on = Buffer.alloc(4);
      on.writeInt32LE(1);
      const level = host.includes(':') ? ([SOL_IPV6, IPV6_TRANSPARENT] as const) : ([SOL_IP, IP_TRANSPARENT] as const);
      if (transparent && setsockopt(descriptorOf(server), ...level, on, 4) !== 0)
        resolve({ error: 'no IP_TRANSPARENT' });
      resolve({});
    });
  });
}

const held = new Map<string, Socket>();

/** Reads the greeting. With `hold` the connection stays, under that name. */
function dial(host: string, port: number, source: string | undefined, hold: string | undefined): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, ...(source === undefined ? {} : { localAddress: source }) });
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('time-out')));
    socket.once('error', (error) => resolve({ error: error.message }));
    socket.once('end', () => resolve({ error: 'closed' }));
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!text.endsWith('\n')) return;
      socket.removeAllListeners('data');
      if (hold === undefined) socket.destroy();
      else held.set(hold, socket.setTimeout(0));
      resolve({ welcome: JSON.parse(text) as Welcome });
    });
  });
}

/** A line there and back on a connection that was held. */
function echo(name: string, text: string): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = held.get(name)!;
    const fail = () => resolve({ error: 'the connection broke' });
    const timer = setTimeout(fail, TIMEOUT_MS);
    socket.once('close', fail);
    socket.once('data', (chunk: string) => {
      clearTimeout(timer);
      socket.removeListener('close', fail);
      resolve(chunk === text ? {} : { error: `another answer: ${chunk}` });
    });
    socket.write(text);
  });
}

/** Opens and closes connections at a fixed rate, whatever becomes of those before, and tells how long each took to its first line. */
async function dialMany(host: string, port: number, perSecond: number, seconds: number): Promise<Answer> {
  const faults: string[] = [];
  const timesMs: number[] = [];
  const one = async () => {
    const started = performance.now();
    const { error } = await dial(host, port, undefined, undefined);
    if (error === undefined) timesMs.push(performance.now() - started);
    else faults.push(error);
  };
  const begun = performance.now();
  const running: Promise<void>[] = [];
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const due = Math.min(perSecond * seconds, Math.floor(((performance.now() - begun) / 1000) * perSecond));
      while (running.length < due) running.push(one());
      if (due < perSecond * seconds) return;
      clearInterval(timer);
      resolve();
    }, 5);
  });
  await Promise.all(running);
  timesMs.sort((a, b) => a - b);
  const quantile = (share: number) => timesMs[Math.floor(timesMs.length * share)] ?? Number.NaN;
  return {
    count: timesMs.length,
    medianMs: quantile(0.5),
    p99Ms: quantile(0.99),
    ...(faults.length === 0 ? {} : { error: `${faults.length} failed: ${faults[0]}` }),
  };
}

/** A "name server": its answer is its name and the question. With `forward` it first asks there, as a resolver does. */
function serveNames(who: string, port: number, host: string, forward: string | undefined): Promise<Answer> {
  const answer = async (question: string) =>
    forward === undefined
      ? `${who}(${question})`
      : `${who}(${(await askUdp(forward, 53, question, 0)).text ?? 'none'})`;
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.once('error', (error) => resolve({ error: error.message }));
    socket.on('message', async (question, from) =>
      socket.send(await answer(question.toString()), from.port, from.address),
    );
    socket.bind(port, host, () => resolve({}));
  });
}

function askUdp(host: string, port: number, question: string, sourcePort: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const end = (answer: Answer) => {
      clearTimeout(timer);
      socket.close(() => resolve(answer));
    };
    const timer = setTimeout(() => end({ error: 'no answer' }), TIMEOUT_MS);
    socket.once('error', (error) => end({ error: error.message }));
    socket.once('message', (text) => end({ text: text.toString() }));
    socket.bind(sourcePort, () => {
      // Connected, as resolvers do: an answer from another address would not be taken.
      socket.connect(port, host, () => socket.send(question));
    });
  });
}

function obey(order: Order): Promise<Answer> {
  switch (order.do) {
    case 'listen':
      return listen(order.who, order.port, order.host, order.transparent ?? false);
    case 'dial':
      return dial(order.host, order.port, order.source, order.hold);
    case 'dial-many':
      return dialMany(order.host, order.port, order.perSecond, order.seconds);
    case 'echo':
      return echo(order.name, order.text);
    case 'serve-names':
      return serveNames(order.who, order.port, order.host, order.forward);
    case 'ask':
      return askUdp(order.host, order.port, order.question, order.sourcePort ?? 0);
  }
}

const orders = createInterface({ input: process.stdin });
orders.on('line', async (line) => {
  const { id, ...order } = JSON.parse(line) as Order & { id: number };
  process.stdout.write(`${JSON.stringify({ id, ...(await obey(order as Order)) })}\n`);
});
orders.on('close', () => process.exit(0));
