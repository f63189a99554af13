// Long test: a limit of the whole mesh under load: 500 requests a second over five proxies that are sent 5,000, for 30 s each:
// evenly, four fifths at one proxy, and moving from proxy to proxy; then with Pilot stopped.
//
//   node test/dist/long/mesh-rate-limit.js [SECONDS]

import { connect, type Socket } from 'node:net';
import { echoDocuments, LocalMesh, type PodSeen } from '../e2e/local-mesh.js';

const LIMIT = 500;
const OFFERED = 5_000;
const TICK_MS = 10;
const RULE = `apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  rules: [{name: all, limit: {requests: ${LIMIT}, per: 1s}, scope: MESH}]
`;

/** Sends requests down one connection without waiting for answers, and counts these by status. */
class Sender {
  readonly counts = new Map<string, number>();
  #owed = 0;
  private constructor(private readonly socket: Socket) {
    let rest = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      rest += chunk;
      const pattern = /HTTP\/1\.1 (\d{3})/g;
      let end = 0;
      for (let match = pattern.exec(rest); match !== null; match = pattern.exec(rest)) {
        this.counts.set(match[1]!, (this.counts.get(match[1]!) ?? 0) + 1);
        end = pattern.lastIndex;
      }
      // A status line may be cut anywhere in its twelve bytes.
      rest = rest.slice(Math.max(end, rest.length - 11));
    });
  }

  static open(pod: PodSeen): Promise<Sender> {
    return new Promise((resolve, reject) => {
      const socket = connect(8080, pod.address, () => resolve(new Sender(socket)));
      socket.once('error', reject);
    });
  }

  send(perSecond: number): void {
    this.#owed += (perSecond * TICK_MS) / 1_000;
    const count = Math.floor(this.#owed);
    this.#owed -= count;
    if (count > 0) this.socket.write('GET / HTTP/1.1\r\nhost: echo\r\n\r\n'.repeat(count));
  }

  get passed(): number {
    return this.counts.get('200') ?? 0;
  }

  get answered(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    this.socket.destroy();
  }
}

type Load = (second: number, proxies: number) => readonly number[];
const LOADS: Readonly<Record<string, { readonly load: Load; readonly within: number }>> = {
  even: { load: (_, count) => Array.from({ length: count }, () => OFFERED / count), within: 0.03 },
  skewed: {
    load: (_, count) => Array.from({ length: count }, (_, i) => OFFERED * (i === 0 ? 0.8 : 0.05)),
    within: 0.05,
  },
  shifting: {
    load: (second, count) =>
      Array.from({ length: count }, (_, i) => OFFERED * (i === Math.floor(second / 6) % count ? 0.8 : 0.05)),
    within: 0.1,
  },
};

async function run(
  senders: readonly Sender[],
  load: Load,
  seconds: number,
): Promise<{ passed: number; offered: number }> {
  const before = senders.reduce((sum, { passed }) => sum + passed, 0);
  const answered = senders.reduce((sum, sender) => sum + sender.answered, 0);
  const start = performance.now();
  for (let tick = 0; ; tick++) {
    const atMs = performance.now() - start;
    if (atMs >= seconds * 1_000) break;
    const rates = load(atMs / 1_000, senders.length);
    // A late timer does not lose requests.
    for (; tick * TICK_MS <= atMs; tick++) for (const [index, sender] of senders.entries()) sender.send(rates[index]!);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
  }
  return {
    passed: senders.reduce((sum, sender) => sum + sender.passed, 0) - before,
    offered: senders.reduce((sum, sender) => sum + sender.answered, 0) - answered,
  };
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 30);
  const mesh = new LocalMesh();
  let failed = false;
  const report = (name: string, { passed, offered }: { passed: number; offered: number }, within: number) => {
    const off = passed / (LIMIT * seconds) - 1;
    if (Math.abs(off) > within) failed = true;
    console.log(
      `${name}: ${passed} of ${offered} let through in ${seconds} s, ${(off * 100).toFixed(2)} % of the limit off (at most ${within * 100} %)`,
    );
  };
  try {
    mesh.write('echo.yaml', echoDocuments({ replicas: 5 }));
    mesh.write('limit.yaml', RULE);
    await mesh.up('-f', 'echo.yaml', '-f', 'limit.yaml');
    const pods = await mesh.pods();
    const senders = await Promise.all(pods.map((pod) => Sender.open(pod)));
    // Until each proxy has its first quota.
    await run(senders, LOADS.even!.load, 3);
    for (const [name, { load, within }] of Object.entries(LOADS)) {
      report(name, await run(senders, load, seconds), within);
      await run(senders, LOADS.even!.load, 2);
    }
    const pilot = (await mesh.status()).processes.find(({ name }) => name === 'pilot');
    if (typeof pilot?.pid === 'number') process.kill(pilot.pid, 'SIGSTOP');
    report('Pilot stopped, even', await run(senders, LOADS.even!.load, seconds), 0.03);
    if (typeof pilot?.pid === 'number') process.kill(pilot.pid, 'SIGCONT');
    for (const sender of senders) sender.close();
  } finally {
    await mesh.remove();
  }
  process.exitCode = failed ? 1 : 0;
}

await main();
