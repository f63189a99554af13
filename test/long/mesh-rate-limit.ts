// Long test: a limit of the whole mesh under load: 500 requests a second over five proxies that are sent 5,000: evenly, four
// fifths at one proxy, and moving from proxy to proxy every six seconds; then with the control plane killed, and back.
//
//   node test/dist/long/mesh-rate-limit.js [SECONDS [REPETITIONS]]

import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { echoDocuments, LocalMesh, type PodSeen } from '../e2e/local-mesh.js';
import { waitUntil } from '../harness/wait-until.js';

const PROXIES = 5;
const CONTROL_PLANE = ['galley', 'citadel', 'pilot'];
const LIMIT = 500;
const OFFERED = 5_000;
const BARELY_TOO_MUCH = 600;
const TICK_MS = 10;
/** Less offered than this part says something of the machine, and nothing of the limit. */
const LEAST_OFFERED = 0.98;
const RULE = `apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: echo}
spec:
  selector: {matchLabels: {app: echo}}
  rules: [{name: all, limit: {requests: ${LIMIT}, per: 1s}, scope: MESH}]
`;

/** Sends requests down one connection without waiting for answers, and counts these by status. */
class Sender {
  passed = 0;
  refused = 0;
  broken: string | undefined;
  private owed = 0;

  private constructor(private readonly socket: Socket) {
    let rest = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      rest += chunk;
      const pattern = /HTTP\/1\.1 (\d{3})/g;
      let end = 0;
      for (let match = pattern.exec(rest); match !== null; match = pattern.exec(rest)) {
        if (match[1] === '200') this.passed++;
        else if (match[1] === '429') this.refused++;
        else this.broken = `an answer has status ${match[1]}`;
        end = pattern.lastIndex;
      }
      // A status line may be cut anywhere in its twelve bytes.
      rest = rest.slice(Math.max(end, rest.length - 11));
    });
    socket.on('error', ({ message }) => {
      this.broken = message;
    });
    socket.on('close', () => {
      this.broken ??= 'the proxy has closed the connection';
    });
  }

  static open(pod: PodSeen): Promise<Sender> {
    return new Promise((resolve, reject) => {
      const socket = connect(8080, pod.address, () => resolve(new Sender(socket)));
      socket.once('error', reject);
    });
  }

  /** Adds to what is to be sent; the whole requests of it go at once. */
  send(requests: number): void {
    this.owed += requests;
    const count = Math.floor(this.owed);
    this.owed -= count;
    if (count > 0) this.socket.write('GET / HTTP/1.1\r\nhost: echo\r\n\r\n'.repeat(count));
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Parts of all that is offered, for one of the proxies at a time. */
type Load = (atSecond: number, proxy: number) => number;

const even: Load = () => 1 / PROXIES;
const skewed: Load = (_, proxy) => (proxy === 0 ? 0.8 : 0.05);
const shifting: Load = (second, proxy) => (proxy === Math.floor(second / 6) % PROXIES ? 0.8 : 0.05);

interface Outcome {
  readonly passed: number;
  readonly answered: number;
}

async function run(senders: readonly Sender[], load: Load, seconds: number, perSecond = OFFERED): Promise<Outcome> {
  const sum = (part: (sender: Sender) => number) => senders.reduce((total, sender) => total + part(sender), 0);
  const before = { passed: sum(({ passed }) => passed), refused: sum(({ refused }) => refused) };
  const startMs = performance.now();
  for (let sentMs = 0; sentMs < seconds * 1_000; ) {
    const atMs = Math.min(performance.now() - startMs, seconds * 1_000);
    // What a late timer has not sent goes now.
    for (const [proxy, sender] of senders.entries())
      sender.send((perSecond * load(sentMs / 1_000, proxy) * (atMs - sentMs)) / 1_000);
    sentMs = atMs;
    await sleep(TICK_MS);
  }
  for (const { broken } of senders) if (broken !== undefined) throw new Error(broken);
  const passed = sum((sender) => sender.passed) - before.passed;
  return { passed, answered: passed + sum(({ refused }) => refused) - before.refused };
}

interface Bounds {
  readonly above: number;
  /** Undefined: nothing is promised. */
  readonly below?: number;
}

class Trial {
  failed = false;

  constructor(
    private readonly senders: readonly Sender[],
    private readonly seconds: number,
  ) {}

  async measure(name: string, load: Load, { above, below }: Bounds, perSecond = OFFERED): Promise<void> {
    const { passed, answered } = await run(this.senders, load, this.seconds, perSecond);
    const off = passed / (LIMIT * this.seconds) - 1;
    const offered = answered / (perSecond * this.seconds);
    const held = off <= above && (below === undefined || off >= -below) && offered >= LEAST_OFFERED;
    if (!held) this.failed = true;
    const range = `${below === undefined ? 'any less' : `-${below * 100}`} to +${above * 100} %`;
    console.log(
      `${held ? 'held  ' : 'BROKEN'}  ${name}: ${passed} of ${answered} let through in ${this.seconds} s, ` +
        `${(off * 100).toFixed(2)} % off the limit (${range})${offered < LEAST_OFFERED ? '; TOO LITTLE OFFERED' : ''}`,
    );
  }
}

async function killControlPlane(mesh: LocalMesh): Promise<void> {
  for (const component of CONTROL_PLANE) await mesh.ok('local', 'stop', component, '--signal', 'KILL');
}

async function startControlPlane(mesh: LocalMesh): Promise<void> {
  for (const component of CONTROL_PLANE) await mesh.ok('local', 'start', component);
  await waitUntil('the control plane to be ready', async () => (await mesh.status()).ready, 60_000);
}

async function main(): Promise<void> {
  const seconds = Number(process.argv[2] ?? 30);
  const repetitions = Number(process.argv[3] ?? 1);
  const mesh = new LocalMesh();
  let senders: readonly Sender[] = [];
  try {
    mesh.write('echo.yaml', echoDocuments({ replicas: PROXIES }));
    mesh.write('limit.yaml', RULE);
    await mesh.up('-f', 'echo.yaml', '-f', 'limit.yaml');
    const pods = await mesh.pods();
    senders = await Promise.all(pods.map((pod) => Sender.open(pod)));
    const trial = new Trial(senders, seconds);
    // Until each proxy has its first quota, and its code is warm.
    await run(senders, even, 5);
    for (let repetition = 0; repetition < repetitions; repetition++) {
      await trial.measure('even', even, { above: 0.03, below: 0.03 });
      await trial.measure('four fifths at one proxy', skewed, { above: 0.05, below: 0.05 });
      await trial.measure('moving every 6 s', shifting, { above: 0.1, below: 0.1 });
      // Where five times an equal share is offered everywhere, shares are equal; here they have to follow.
      await trial.measure('moving every 6 s, barely too much', shifting, { above: 0.1, below: 0.1 }, BARELY_TOO_MUCH);
      // Killing takes a moment; the last quotas are those of the load meanwhile.
      await Promise.all([run(senders, skewed, 10, BARELY_TOO_MUCH), killControlPlane(mesh)]);
      await trial.measure('control plane killed, as before', skewed, { above: 0.03, below: 0.1 }, BARELY_TOO_MUCH);
      await trial.measure('control plane killed, even', even, { above: 0.03, below: 0.03 });
      await trial.measure('control plane killed, moving', shifting, { above: 0.03 }, BARELY_TOO_MUCH);
      await startControlPlane(mesh);
      await trial.measure('control plane back, four fifths at one proxy', skewed, { above: 0.05, below: 0.05 });
    }
    process.exitCode = trial.failed ? 1 : 0;
  } finally {
    for (const sender of senders) sender.close();
    await mesh.remove();
  }
}

await main();
