// Conformance: everything that a case needs, in the order in which it is used: addresses, pods, pushes, requests, access log.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TestAuthority } from '@lateen/identity/testing';
import { freePort } from '../../harness/free-port.js';
import { type LoopbackLease, leaseLoopbackBlock } from '../../harness/loopback-lease.js';
import { waitUntil } from '../../harness/wait-until.js';
import { type ConformanceCase, FORWARD_PROXY, GATEWAY, type SendingOfCase } from '../case-file.js';
import { CaseMembers } from '../members/case-members.js';
import { type Counted, countWhile } from '../proxies/counting.js';
import { notListening } from '../proxies/listening.js';
import type { LogLine } from '../proxies/log-lines.js';
import { type ConformanceProxy, type Engine, startProxy } from '../proxies/proxy.js';
import type { ProxyStats } from '../proxies/proxy-stats.js';
import { CasePilot, type SocketAddress } from './case-pilot.js';
import { hasLimits, probeLike, withProbe } from './case-quotas.js';
import { type CaseAddresses, type CaseConfig, readCaseConfig, snapshotOf } from './case-snapshot.js';
import { CertificateIssuer } from './certificates.js';
import { EchoPods, type ReceivedRequest } from './echo-pods.js';
import { locatedCase } from './located-case.js';
import { type ReceivedAnswer, Sender } from './send.js';

/** What became of one request. */
export interface Observation {
  /** Value of the header by which the request is known. */
  readonly id: string;
  /** By which the access log knows it. */
  readonly logged: string;
  readonly answer: ReceivedAnswer;
  /** What reached pods of it, in order. */
  readonly received: readonly ReceivedRequest[];
  /** Copies of it that reached pods. */
  readonly copies: readonly ReceivedRequest[];
  readonly log: LogLine | undefined;
}

/** Everything that was seen of one request of a case, sent `times` times. */
export interface SendingResult {
  readonly sending: SendingOfCase;
  readonly observations: readonly Observation[];
  /** What the proxy counted meanwhile; undefined where nobody asked for it, or it is not settled. */
  readonly stats?: ProxyStats | undefined;
}

/** Where a gateway of local mode listens for a port that needs a privilege. */
const LISTENED_ON: Readonly<Record<number, number>> = { 80: 8080, 443: 8443 };
const PARALLEL = 8;
const COPIED_WITHIN_MS = 5_000;
const NO_MORE_COPIES_MS = 40;

export interface MeshOptions {
  readonly engine: Engine;
  readonly envoyPath?: string;
  /** Whether to wait for the access log's line of every request, or only of those whose case says what is in it. */
  readonly allLogs?: boolean;
  /** Whether to read what the proxy counts of each request that is sent once. */
  readonly stats?: boolean;
}

export class MeshUnderTest {
  private readonly directory = mkdtempSync(join(tmpdir(), 'lateen-conformance-'));
  private readonly proxies = new Map<'client' | 'gateway', ConformanceProxy>();
  private cases = 0;
  private subnets = 0;
  private requests = 0;

  private constructor(
    private readonly engine: Engine,
    private readonly lease: LoopbackLease,
    private readonly allLogs: boolean,
    private readonly counts: boolean,
    private readonly pilot: CasePilot,
    private readonly issuer: CertificateIssuer,
  ) {}

  static async start({ engine, envoyPath = '', allLogs = false, stats = false }: MeshOptions): Promise<MeshUnderTest> {
    const authority = await TestAuthority.create();
    const issuer = new CertificateIssuer(authority);
    const mesh = new MeshUnderTest(engine, await leaseLoopbackBlock(), allLogs, stats, await CasePilot.start(), issuer);
    const common = { engine, envoyPath, controlPort: mesh.pilot.port, authority, directory: mesh.directory };
    for (const role of ['client', 'gateway'] as const) mesh.proxies.set(role, await startProxy({ ...common, role }));
    return mesh;
  }

  /**
   * Runs a case: its pods are started, its requests sent one after another.
   *
   * @param isEnough whether to leave out the requests after this one
   */
  async run(
    written: ConformanceCase,
    isEnough: (result: SendingResult) => boolean = () => false,
  ): Promise<readonly SendingResult[]> {
    const directory = join(this.directory, `case-${this.cases++}`);
    mkdirSync(directory);
    const certificates = await this.issuer.forCase(written.certificates, directory);
    const pods = new EchoPods(certificates);
    const sender = new Sender(certificates);
    let members: CaseMembers | undefined;
    try {
      const addresses = this.addressesFor(written);
      const ports = await freePortsOf(written);
      const portOf = (pod: string, port: number) => ports.get(`${pod}:${port}`) ?? port;
      const countsByQuotas = this.engine === 'envoy' && hasLimits(written);
      const conformanceCase = locatedCase(countsByQuotas ? withProbe(written, this.cases) : written, {
        address: addresses.pod,
        port: portOf,
        socket: (pod) => this.socketOf(pod),
        certificates,
      });
      const config = readCaseConfig(conformanceCase);
      for (const { name, socket } of [...written.pods, ...written.clients]) {
        if (socket === true) await pods.socket(name, this.socketOf(name));
      }
      const appPorts = await this.startPods(conformanceCase, config, addresses, portOf, pods);
      const appPort = (pod: string, port: number) => appPorts.get(`${pod}:${port}`) ?? 0;
      members = await CaseMembers.register(conformanceCase, config, addresses, join(directory, 'registered.json'));
      members.startProbes();
      const results: SendingResult[] = [];
      let pushedTo: string | undefined;
      const hasQuotas = new Set<string>();
      for (const sending of conformanceCase.requests) {
        for (const pod of sending.turnsIll) pods.unwell.add(pod);
        await members.waitFor(sending.health);
        const wanted = `${sending.from} ${members.version}`;
        if (wanted !== pushedTo) {
          const mesh = snapshotOf(conformanceCase, config, addresses, appPort, members.entries());
          await this.push(conformanceCase, mesh, sending.from);
          pushedTo = wanted;
        }
        const target = dialled(sending, config, addresses);
        if (countsByQuotas && !hasQuotas.has(sending.from)) {
          hasQuotas.add(sending.from);
          await this.assignQuotas(
            conformanceCase.requests.filter(({ from }) => from === sending.from),
            (each) => this.send({ ...each, times: 1 }, dialled(each, config, addresses), pods, sender),
          );
        }
        const result = await this.counted(sending, () => this.send(sending, target, pods, sender));
        results.push(result);
        if (isEnough(result)) break;
      }
      return await Promise.all(results.map((result) => this.withLogs(result)));
    } catch (error) {
      const logs = [...this.proxies].map(([role, proxy]) => `${role}: ${proxy.output().slice(-1500)}`);
      throw new Error(`${(error as Error).message}\n${logs.join('\n')}`, { cause: error });
    } finally {
      sender.close();
      await members?.close();
      await pods.stop();
    }
  }

  private socketOf(pod: string): string {
    return join(this.directory, `${pod}.sock`);
  }

  /** Addresses that no case before had: nothing that is left of one can be taken for an answer of the next. */
  private addressesFor({ pods, clients }: ConformanceCase): CaseAddresses {
    const all = [...clients, ...pods].map(({ name }) => name);
    const outside = new Set(pods.filter(({ loopback }) => loopback).map(({ name }) => name));
    this.subnets = (this.subnets + 1) % 250;
    const subnet = `${this.lease.prefix}.${this.subnets + 1}`;
    const clientNumber = (client: string) => clients.findIndex(({ name }) => name === client);
    return {
      pod: (name) => (outside.has(name) ? '127.0.0.1' : `${subnet}.${1 + all.indexOf(name)}`),
      service: (client, index) => `${subnet}.${60 + clientNumber(client) * 30 + index}`,
    };
  }

  /** @returns the ports of loopback where the clients' own applications listen, by POD:PORT */
  private async startPods(
    { clients }: ConformanceCase,
    { podPorts }: CaseConfig,
    addresses: CaseAddresses,
    portOf: (pod: string, port: number) => number,
    pods: EchoPods,
  ): Promise<Map<string, number>> {
    const appPorts = new Map<string, number>();
    for (const { pod, port, protocol } of podPorts) {
      const isClient = clients.includes(pod);
      const host = isClient ? '127.0.0.1' : addresses.pod(pod.name);
      if (!pod.isWell) pods.unwell.add(pod.name);
      const { tls, takesProxyHeaders = false } = pod;
      if (tls !== undefined || takesProxyHeaders) pods.wrap(pod.name, { tls, takesProxyHeaders });
      if (pod.deaf) {
        await pods.deaf(addresses.pod(pod.name), port);
        continue;
      }
      const listening = await pods[protocol](pod.name, host, isClient ? 0 : portOf(pod.name, port));
      if (isClient) appPorts.set(`${pod.name}:${port}`, listening);
    }
    return appPorts;
  }

  private async push(
    { clients }: ConformanceCase,
    mesh: ReturnType<typeof snapshotOf>,
    podName: string,
  ): Promise<void> {
    const pod = clients.find(({ name }) => name === podName);
    if (pod === undefined) throw new Error(`\`from: ${podName}\` is none of the case's clients`);
    const proxy = this.proxies.get(podName === GATEWAY ? 'gateway' : 'client')!;
    const listeners = this.pilot.push(proxy.nodeId, mesh, pod, this.engine === 'lateen');
    await this.pilot.waitForTaken(proxy.nodeId);
    await waitUntil('what was taken to be in use', () => proxy.isWarm());
    let missing: readonly SocketAddress[] = [];
    const areThere = async () => {
      missing = await notListening(listeners);
      return missing.length === 0;
    };
    await waitUntil('listeners', areThere).catch((error: Error) => {
      throw new Error(`${error.message}: none at ${missing.map(({ host, port }) => `${host}:${port}`).join(', ')}`);
    });
  }

  private async counted(sending: SendingOfCase, send: () => Promise<readonly Observation[]>): Promise<SendingResult> {
    if (!this.counts) return { sending, observations: await send() };
    let observations: readonly Observation[] = [];
    const stats = await countWhile(this.proxyOf(sending), countedAs(sending), async () => {
      observations = await send();
      return observations.map(({ logged }) => logged);
    });
    return { sending, observations, stats };
  }

  /** Sends everything once while an Envoy has no quotas, so that it has full ones of every counter afterwards. */
  private async assignQuotas(
    all: readonly SendingOfCase[],
    send: (sending: SendingOfCase) => Promise<readonly Observation[]>,
  ): Promise<void> {
    const { quotas } = this.pilot;
    const probe = probeLike(all[0]!);
    quotas.hold();
    for (const sending of [...all, probe]) await send(sending);
    await quotas.release(this.cases);
    const isRefused = async () => (await send(probe))[0]?.answer.status === 429;
    await waitUntil('an Envoy to count by its quotas', isRefused);
  }

  private proxyOf({ from }: SendingOfCase): ConformanceProxy {
    return this.proxies.get(from === GATEWAY ? 'gateway' : 'client')!;
  }

  private async send(
    sending: SendingOfCase,
    target: SocketAddress,
    pods: EchoPods,
    sender: Sender,
  ): Promise<readonly Observation[]> {
    const once = async (): Promise<Observation> => {
      this.requests += 1;
      const id = `request-${this.requests}`;
      if (sending.kind === 'tcp') {
        pods.takeSpoken();
        const answer = await sender.tcp(target, sending);
        const received = sending.times === 1 ? pods.takeSpoken() : [];
        const logged = `${answer.client}>${target.host}:${target.port}`;
        return { id: logged, logged, answer, received, copies: [], log: undefined };
      }
      pods.script(id, sending.answers);
      const answer = await sender.http(target, sending, id);
      const logged = `${id}>${target.host}:${target.port}`;
      return { id, logged, answer, received: pods.receivedOf(id), copies: [], log: undefined };
    };
    const observations: Observation[] = [];
    while (observations.length < sending.times) {
      const { pauseMs, times } = sending;
      if (pauseMs !== undefined && observations.length > 0)
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
      const batch = pauseMs === undefined ? Math.min(PARALLEL, times - observations.length) : 1;
      observations.push(...(await Promise.all(Array.from({ length: batch }, once))));
    }
    return withCopies(sending, observations, pods);
  }

  /** Of many requests that are sent to see how they spread the lines are not looked at, unless all are. */
  private async withLogs(result: SendingResult): Promise<SendingResult> {
    const { sending, observations } = result;
    if (isRefused(sending)) return result;
    if (!this.allLogs && (sending.times > 1 || Object.keys(sending.expect.log).length === 0)) return result;
    const proxy = this.proxyOf(sending);
    const logged = observations.map(async (observation) => {
      const what = `the access log's line about ${sending.name}`;
      return { ...observation, log: await waitUntil(what, () => proxy.logOf(observation.logged)) };
    });
    return { ...result, observations: await Promise.all(logged) };
  }

  async stop(): Promise<void> {
    await Promise.all([...this.proxies.values()].map((proxy) => proxy.stop()));
    this.pilot.stop();
    this.lease.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Its connection is not taken: nothing is logged of what never was one to anybody. */
function isRefused({ tls, expect }: SendingOfCase): boolean {
  return expect.status === 0 || (tls !== undefined && expect.text === '');
}

function countedAs(sending: SendingOfCase): Counted {
  if (isRefused(sending)) return { kind: 'refusals' };
  return sending.kind === 'tcp' ? { kind: 'connections' } : { kind: 'requests', times: sending.times };
}

/** Of 127.0.0.1, where others listen too. */
async function freePortsOf({ pods }: ConformanceCase): Promise<ReadonlyMap<string, number>> {
  const ports = new Map<string, number>();
  for (const { name, listens } of pods.filter(({ loopback }) => loopback)) {
    for (const port of listens) ports.set(`${name}:${port}`, await freePort());
  }
  return ports;
}

/** Copies arrive when they like: as many as the case expects at least are waited for. */
async function withCopies(
  { name, expect, together }: SendingOfCase,
  observations: readonly Observation[],
  pods: EchoPods,
): Promise<readonly Observation[]> {
  if (expect.copies === undefined && together.copies === undefined) return observations;
  const ofEach = Object.keys(expect.copies ?? {}).length;
  const ofAll = Object.values(together.copies ?? {}).reduce((sum, range) => sum + Number.parseInt(range, 10), 0);
  const found = () => observations.map((observation) => ({ ...observation, copies: pods.copiesOf(observation.id) }));
  try {
    await waitUntil(
      `the copies of ${name}`,
      () =>
        found().every(({ copies }) => copies.length >= ofEach) &&
        found().flatMap(({ copies }) => copies).length >= ofAll,
      COPIED_WITHIN_MS,
    );
  } catch {
    // That they are missing is what the comparison with the case will say.
  }
  // Copies that are too many are to be seen as well: they come until none has for a moment.
  for (let before = -1, count = 0; count !== before; ) {
    before = count;
    await new Promise((resolve) => setTimeout(resolve, NO_MORE_COPIES_MS));
    count = found().flatMap(({ copies }) => copies).length;
  }
  return found();
}

/** The address that a request is sent to. */
function dialled({ connect: text, from }: SendingOfCase, { hosts }: CaseConfig, addresses: CaseAddresses) {
  const colon = text.lastIndexOf(':');
  const name = text.slice(0, colon);
  const port = Number(text.slice(colon + 1));
  const listening = from === GATEWAY ? (LISTENED_ON[port] ?? port) : port;
  if (isIP(name) !== 0) return { host: name, port: listening };
  if (from === GATEWAY) return { host: addresses.pod(GATEWAY), port: listening };
  if (name === 'inbound') return { host: addresses.pod(from), port };
  if (name === FORWARD_PROXY) return { host: addresses.pod(from), port };
  const index = hosts.findIndex((host) => {
    const [service, namespace] = host.split('.');
    const isService = host.endsWith('.svc.cluster.local');
    return name === host || (isService && (name === service || name === `${service}.${namespace}`));
  });
  if (index < 0)
    throw new Error(
      `there is no service ${name} to connect to; say with \`connect: SERVICE:PORT\` whose address is dialled`,
    );
  return { host: addresses.service(from, index), port };
}
