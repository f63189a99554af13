// Long test: the root is replaced again and again while certificates are renewed every two seconds, under 1,000 requests a
// second, half of them on new handshakes: of the client's sidecar, which resumes where it can, and every tenth of this process,
// which looks at what it was shown and tries to resume every other time. Every third rotation Citadel is killed on the way.
//
//   node test/dist/long/root-rotation.js [SECONDS] [REQUESTS A SECOND]

import http from 'node:http';
import {
  type CertificateClient,
  createKeyAndCsr,
  formatSpiffeId,
  identityFromPem,
  MtlsAgent,
  mtlsFetch,
  rootIdsOf,
  type WorkloadIdentity,
} from '@lateen/identity';
import { requestCertificate } from '@lateen/identity/certificate-call';
import { RenewingPair, TRUST_DOMAIN } from '../contract/renewal/renewing-pair.js';
import { waitUntil } from '../harness/wait-until.js';

const PER_SECOND = Number(process.argv[3] ?? 1000);
const TICK_MS = 10;
/** A machine that cannot keep up is sent less, which the rate then tells. */
const MAX_RUNNING = 32;
const CITADEL = formatSpiffeId({ trustDomain: TRUST_DOMAIN, namespace: 'istio-system', serviceAccount: 'citadel' });
const GRACE_SECONDS = 30;
const LOOK_EVERY = 20;
const LOOK_MS = 200;

const counts = { sent: 0, handshakes: 0, looked: 0, resumptionsTried: 0, resumed: 0, rotations: 0, killed: 0 };
const failures = new Map<string, number>();
const serials = new Set<string>();

function failed(what: string): void {
  failures.set(what, (failures.get(what) ?? 0) + 1);
}

/** Half by the client's sidecar on kept connections, half each on a handshake of its own. */
class Load {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
  readonly #running = new Set<Promise<void>>();
  #session: Buffer | undefined;
  #number = 0;

  constructor(
    private readonly pair: RenewingPair,
    private readonly client: CertificateClient,
  ) {}

  /** Resolves to the requests a second that were sent. */
  async run(seconds: number): Promise<number> {
    const startMs = performance.now();
    const elapsed = () => (performance.now() - startMs) / 1000;
    while (elapsed() < seconds) {
      const due = Math.floor(elapsed() * PER_SECOND);
      for (; counts.sent < due && this.#running.size < MAX_RUNNING; counts.sent++) this.#send();
      await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    }
    const rate = counts.sent / elapsed();
    await Promise.all(this.#running);
    this.#agent.destroy();
    return rate;
  }

  #send(): void {
    const number = this.#number++;
    const request =
      number % LOOK_EVERY === 0 ? this.#handshake(number % (2 * LOOK_EVERY) === 0) : this.#bySidecar(number);
    const done = request.catch((error: Error) => failed(error.message)).finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  async #bySidecar(number: number): Promise<void> {
    const { outboundPort, freshPort } = this.pair;
    const isFresh = number % 2 === 0;
    const { status, body } = await this.pair.viaSidecar(this.#agent, isFresh ? freshPort : outboundPort);
    if (status !== 200)
      failed(`by the sidecar${isFresh ? ', on a new handshake' : ''}: ${status} ${body.slice(0, 100)}`);
  }

  async #handshake(resume: boolean): Promise<void> {
    counts.looked++;
    const session = resume ? this.#session : undefined;
    if (session !== undefined) counts.resumptionsTried++;
    const identity = this.client.current as WorkloadIdentity;
    const result = await this.pair.onNewHandshake(identity, session);
    if (!result.status.startsWith('HTTP/1.1 200')) {
      // This process renews too: where it has no time for that, it is the machine that is too busy.
      const own = identity.notAfter.getTime() < Date.now() ? 'had ended' : 'was valid';
      failed(`on a new handshake: "${result.status}"; the own certificate ${own}`);
    }
    if (result.resumed) counts.resumed++;
    if (result.serial !== '') serials.add(result.serial);
    if (result.session !== undefined) this.#session = result.session;
  }
}

/** Citadel's admin API, asked on connections that are kept. */
type Admin = (method: string, path: string) => Promise<AuthorityStatus>;

function adminOf(pair: RenewingPair, agent: MtlsAgent): Admin {
  const call = mtlsFetch(agent);
  return async (method, path) => {
    const answer = await call(`https://127.0.0.1:${pair.citadelAdminPort}${path}`, { method });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as AuthorityStatus;
  };
}

interface AuthorityStatus {
  readonly rotation?: { readonly step: string; readonly to: string };
  readonly last?: { readonly outcome: string; readonly to: string };
}

/** A certificate that outlives the rotation, with a session of it: what somebody with an old certificate would come with. */
async function longLived(pair: RenewingPair, follower: CertificateClient) {
  const { keyPem, csrPem } = await createKeyAndCsr();
  const { rootsPem } = follower.current as WorkloadIdentity;
  const chain = await requestCertificate({
    address: `127.0.0.1:${pair.citadelPort}`,
    token: await pair.token('stranger'),
    rootsPem,
    knownRoots: rootIdsOf(rootsPem),
    serverSpiffeId: CITADEL,
    csrPem,
    validitySeconds: 3600,
  });
  const identity = identityFromPem({ keyPem, certChainPem: chain.join(''), rootsPem });
  const { status, session } = await pair.onNewHandshake(identity, undefined);
  if (!status.startsWith('HTTP/1.1 200')) failed(`a peer of the root in force was refused: "${status}"`);
  await follower.renewNow(); // Citadel takes this one for the holder's certificate, and does not wait for the other
  return { identity, session };
}

/** True where the server's sidecar answered. */
async function isServed(pair: RenewingPair, identity: WorkloadIdentity, session: Buffer | undefined): Promise<boolean> {
  const attempt = await pair.onNewHandshake(identity, session).catch(() => undefined);
  return attempt?.status.startsWith('HTTP/1.1') === true;
}

async function rotations(
  pair: RenewingPair,
  operator: CertificateClient,
  stranger: CertificateClient,
  untilMs: number,
): Promise<void> {
  const agent = new MtlsAgent({ source: operator, expectedSpiffeIds: [CITADEL] });
  try {
    await rotateAgainAndAgain(pair, adminOf(pair, agent), { operator, stranger }, untilMs);
  } finally {
    agent.destroy();
  }
}

async function rotateAgainAndAgain(
  pair: RenewingPair,
  admin: Admin,
  { operator, stranger }: { readonly operator: CertificateClient; readonly stranger: CertificateClient },
  untilMs: number,
): Promise<void> {
  do {
    const old = await longLived(pair, stranger);
    const { rotation } = await admin('POST', `/ca/rotate-root?graceSeconds=${GRACE_SECONDS}`);
    const to = rotation?.to;
    if (counts.rotations % 3 === 2) {
      const step = counts.rotations % 2 === 0 ? 'distribute' : 'issue';
      const inStep = async () => (await admin('GET', '/ca/status')).rotation?.step === step;
      await waitUntil(`the step ${step}`, inStep, 60_000, LOOK_MS);
      await pair.killCitadel();
      counts.killed++;
    }
    const last = async () => (await admin('GET', '/ca/status')).last;
    const ended = await waitUntil(
      'the rotation',
      async () => ((await last())?.to === to ? last() : undefined),
      120_000,
      LOOK_MS,
    );
    if (ended?.outcome !== 'completed') failed(`a rotation was ${ended?.outcome}`);
    // The server's sidecar looks at the bundle once a second; what it trusts is asked with the old certificate itself.
    const rootsPem = () => ({ ...old.identity, rootsPem: (operator.current as WorkloadIdentity).rootsPem });
    const refused = async () => !(await isServed(pair, rootsPem(), undefined));
    await waitUntil('the old root to be refused', refused, 20_000, LOOK_MS).catch((error: Error) =>
      failed(error.message),
    );
    if (await isServed(pair, rootsPem(), old.session)) failed('a session of the old root was taken up');
    counts.rotations++;
    console.log(`rotation ${counts.rotations} to ${to} after ${counts.sent} requests`);
  } while (performance.now() < untilMs);
}

const seconds = Number(process.argv[2] ?? 120);
const pair = await RenewingPair.start(['--max-workload-ttl', '1h', '--total-rate', '1000']);
try {
  const client = await pair.client('probe');
  const operator = await pair.client('lateen-admin', 'istio-system');
  const stranger = await pair.client('stranger');
  const handshakesBefore = await pair.handshakes();
  const startMs = performance.now();
  const load = new Load(pair, client).run(seconds);
  const rotated = rotations(pair, operator, stranger, startMs + (seconds - 15) * 1000);
  const [rate] = await Promise.all([load, rotated.catch((error: Error) => failed(`a rotation: ${error.message}`))]);
  counts.handshakes = (await pair.handshakes()) - handshakesBefore;
  if (rate < PER_SECOND * 0.95) failed('fewer requests were sent than asked for');
  if (serials.size < seconds / 4) failed(`only ${serials.size} certificates were seen`);
  if (!(counts.handshakes >= counts.sent / 2)) failed('less than half of the requests were on new handshakes');
  if (counts.resumptionsTried === 0 || counts.rotations === 0) failed('nothing was resumed or rotated');
  console.log(
    `${counts.sent} requests, ${rate.toFixed(0)} a second; ${counts.handshakes} on new handshakes; of ${counts.looked} ` +
      `that were looked at ${counts.resumptionsTried} tried to resume, ${counts.resumed} did; ${serials.size} serial numbers; ${counts.rotations} rotations of the root, ` +
      `Citadel killed ${counts.killed} times`,
  );
} finally {
  if (failures.size > 0) console.log(pair.output().slice(-4000));
  await pair.stop();
}
for (const [what, times] of failures) console.log(`FAILED ${times} times: ${what}`);
process.exitCode = failures.size > 0 ? 1 : 0;
