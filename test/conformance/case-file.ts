// Conformance, step 1: reads a case's folder. What README.md says of the files is checked here, so that a slip of the pen is told.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import {
  type CertificateOfCase,
  readCertificate,
  readProxyHeader,
  readSentTls,
  readServedTls,
  type SentTls,
  type ServedTls,
} from './case-tls.js';
import { Fields } from './fields.js';

export const CASES = join(REPOSITORY, 'test/conformance/cases');
/** One group by itself: who may call whom. */
const SECURITY = 'security';

function folderOf(name: string): string {
  return name.startsWith(`${SECURITY}/`) ? join(CASES, '..', name) : join(CASES, name);
}

/** A pod that answers with what it saw, at every port that a Service leads to it by. */
export interface PodOfCase {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly ready: boolean;
  /** HTTP ports at which it answers beside those that Services lead to. */
  readonly listens: readonly number[];
  /** It is no pod of the mesh, and answers at 127.0.0.1, at free ports: names under `localhost` lead there. */
  readonly loopback: boolean;
  /** It also answers HTTP at a socket, whose path the case writes as `<NAME:socket>`. */
  readonly socket?: boolean;
  /** It listens, and takes no connection: connecting to it hangs. */
  readonly deaf: boolean;
  /** What it says when it is asked by a health check. */
  readonly isWell: boolean;
  /** How it serves connections that begin with TLS. */
  readonly tls?: ServedTls | undefined;
  /** Its connections may begin with a PROXY header. */
  readonly takesProxyHeaders?: boolean;
  /** It is in no registry, and its sidecar registers it in this WorkloadGroup. */
  readonly group?: string | undefined;
}

/** What a member's sidecar has told Pilot of it; nothing before a threshold of the probe is reached. */
export type Health = 'well' | 'unwell' | 'untold';
const HEALTHS: readonly string[] = ['well', 'unwell', 'untold'] satisfies Health[];

/** What an application answers to one attempt. */
export interface ScriptedAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
  /** What follows the body. */
  readonly trailers: Readonly<Record<string, string>>;
  readonly delayMs: number;
  /** Cuts the connection instead of answering. */
  readonly reset: boolean;
  /** Ends the stream of HTTP/2 with this code instead: `REFUSED_STREAM`. */
  readonly resetStream: string | undefined;
}

/** A header's value, several values in their order, or null: it is not there. */
export type ExpectedHeader = string | readonly string[] | null;

export interface ExpectedRequest {
  readonly protocol: string | undefined;
  readonly method: string | undefined;
  readonly path: string | undefined;
  readonly host: string | undefined;
  readonly body: string | undefined;
  readonly headers: Readonly<Record<string, ExpectedHeader>>;
  /** Of the handshake, by the names of `TlsFacts`; null: plain text. */
  readonly tls: Readonly<Record<string, string>> | null | undefined;
  /** `V1 192.0.2.7`, or null. */
  readonly proxyHeader: string | null | undefined;
}

export interface Expectation {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, ExpectedHeader>>;
  readonly body: string | undefined;
  /** Pods of which one answers; empty: no pod may be reached. */
  readonly upstream: readonly string[] | undefined;
  readonly received: ExpectedRequest | undefined;
  /** Copies that pods got of it, by pod; undefined: nobody looks. */
  readonly copies: Readonly<Record<string, ExpectedRequest>> | undefined;
  /** Requests that reached a pod, retries included. */
  readonly attempts: number | undefined;
  readonly log: Readonly<Record<string, string>>;
  readonly minMs: number | undefined;
  readonly maxMs: number | undefined;
  /** What a TCP client reads until the end. */
  readonly text: string | undefined;
  /** What the client sees of the handshake, by the names of `TlsFacts`. */
  readonly tls: Readonly<Record<string, string>>;
}

/** What is expected of a request's answers as a whole, where it is sent several times. */
export interface Together {
  /** Share of each pod in the answers, by name. */
  readonly distribution: Readonly<Record<string, number>> | undefined;
  /** How many answers have which status: a number, or a range `1..3`. */
  readonly statuses: Readonly<Record<string, string>> | undefined;
  /** Connections that pods saw. */
  readonly connections: number | undefined;
  /** How often the pod of one answer gives the next one too: a number, or a range `1..3`. */
  readonly repeats: string | undefined;
  /** The most requests that a pod had at a time: a number, or a range. */
  readonly atOnce: string | undefined;
  /** How many copies each pod got: a number, or a range `1..3`. */
  readonly copies: Readonly<Record<string, string>> | undefined;
  /** Requests that were tried again, each time at another pod than before: a number, or a range. */
  readonly retriedElsewhere: string | undefined;
  /** All answers are of one pod. */
  readonly sameUpstream: boolean;
}

interface Sending {
  readonly name: string;
  /** The pod whose proxy is asked: a client, or `gateway`. */
  readonly from: string;
  readonly times: number;
  /** One after the other instead of eight at a time, with a pause between them. */
  readonly pauseMs: number | undefined;
  /** Members of WorkloadGroups that turn ill before it. */
  readonly turnsIll: readonly string[];
  /** What probes have told of members before it is sent. */
  readonly health: Readonly<Record<string, Health>>;
  /** Of each answer. */
  readonly expect: Expectation;
  /** Of all answers. */
  readonly together: Together;
  /** Fields in which stock Envoy is known to differ, with the reason. */
  readonly differs: Readonly<Record<string, string>>;
  /** The client speaks TLS. */
  readonly tls: SentTls | undefined;
  /** A balancer before the proxy tells of the client: `V1 192.0.2.7`. */
  readonly proxyHeader: string | undefined;
}

export interface HttpSending extends Sending {
  readonly kind: 'http';
  /** The client speaks HTTP/2 from the first byte. */
  readonly http2: boolean;
  readonly method: string;
  readonly host: string;
  /** Request target as it is written on the wire. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body: string | undefined;
  /** SERVICE:PORT, or `inbound:PORT` for the client's own port: whose address is dialled. */
  readonly connect: string;
  /** What the pods answer, attempt by attempt; the last one holds for all after it. */
  readonly answers: readonly ScriptedAnswer[];
}

export interface TcpSending extends Sending {
  readonly kind: 'tcp';
  readonly connect: string;
  /** HOST:PORT that what is connected to is asked for by CONNECT first. */
  readonly asks: string | undefined;
  readonly send: string;
  /** The client says nothing before its server has. */
  readonly waits: boolean;
  /** The client ends its side only when the server has, which does after `bye`. */
  readonly stays: boolean;
}

export type SendingOfCase = HttpSending | TcpSending;

export interface ConformanceCase {
  /** GROUP/NAME. */
  readonly name: string;
  readonly why: string;
  /** Istio kinds and Services, as a user applies them. */
  readonly config: string;
  /** MeshConfig, over the harness's own. */
  readonly mesh: string;
  readonly pods: readonly PodOfCase[];
  /** The pods that a proxy under test stands for. */
  readonly clients: readonly PodOfCase[];
  readonly requests: readonly SendingOfCase[];
  readonly certificates: readonly CertificateOfCase[];
  /** Why the case is not run against a stock Envoy; undefined: it is. */
  readonly withoutEnvoy: string | undefined;
}

/** The proxy of this name is the ingress gateway. */
export const GATEWAY = 'gateway';
/** To be connected to by this name: the client's own forward proxy, which is told the host in the request's target. */
export const FORWARD_PROXY = 'forward-proxy';

const readPod = (name: string, fields: Fields, label: string): PodOfCase => {
  const group = fields.text('group');
  const pod = {
    name,
    group,
    namespace: fields.text('namespace') ?? 'default',
    labels: fields.texts('labels') ?? (group === undefined ? { app: label } : {}),
    serviceAccount: fields.text('serviceAccount') ?? name,
    ready: fields.flag('ready') ?? true,
    listens: (fields.textOrList('listens') ?? []).map(Number),
    loopback: fields.flag('loopback') ?? false,
    socket: fields.flag('socket') ?? false,
    isWell: fields.flag('isWell') ?? true,
    deaf: fields.flag('deaf') ?? false,
    tls: readServedTls(fields.below('tls')),
    takesProxyHeaders: fields.flag('takesProxyHeaders') ?? false,
  };
  fields.done();
  return pod;
};

function readAnswer(fields: Fields): ScriptedAnswer {
  const answer = {
    status: fields.number('status') ?? 200,
    headers: fields.texts('headers') ?? {},
    body: fields.text('body'),
    trailers: fields.texts('trailers') ?? {},
    delayMs: fields.number('delayMs') ?? 0,
    reset: fields.flag('reset') ?? false,
    resetStream: fields.text('resetStream'),
  };
  fields.done();
  return answer;
}

function readReceived(fields: Fields): ExpectedRequest {
  const received = {
    protocol: fields.text('protocol'),
    method: fields.text('method'),
    path: fields.text('path'),
    host: fields.text('host'),
    body: fields.text('body'),
    headers: fields.headers('headers'),
    tls: fields.isNull('tls') ? null : fields.texts('tls'),
    proxyHeader: fields.isNull('proxyHeader') ? null : fields.text('proxyHeader'),
  };
  fields.done();
  return received;
}

function readExpectation(fields: Fields): Expectation {
  const received = fields.below('received');
  const copies = fields.entries('copies').map(([pod, each]) => [pod, readReceived(each)] as const);
  const upstream = fields.textOrList('upstream');
  const expectation = {
    status: fields.number('status'),
    headers: fields.headers('headers'),
    body: fields.text('body'),
    upstream: upstream?.length === 1 && upstream[0] === 'none' ? [] : upstream,
    received: received && readReceived(received),
    copies: fields.has('copies') ? Object.fromEntries(copies) : undefined,
    attempts: fields.number('attempts'),
    log: fields.texts('log') ?? {},
    minMs: fields.number('minMs'),
    maxMs: fields.number('maxMs'),
    text: fields.text('text'),
    tls: fields.texts('tls') ?? {},
  };
  fields.done();
  return expectation;
}

function readTogether(fields: Fields): Together {
  const together = {
    distribution: fields.numbers('distribution'),
    statuses: fields.texts('statuses'),
    connections: fields.number('connections'),
    repeats: fields.text('repeats'),
    atOnce: fields.text('atOnce'),
    retriedElsewhere: fields.text('retriedElsewhere'),
    copies: fields.texts('copies'),
    sameUpstream: fields.flag('sameUpstream') ?? false,
  };
  fields.done();
  return together;
}

function readHealth(fields: Fields): Readonly<Record<string, Health>> {
  const health = fields.texts('health') ?? {};
  const wrong = Object.values(health).find((each) => !HEALTHS.includes(each));
  if (wrong !== undefined) throw fields.wrong(`\`health\` is one of ${HEALTHS.join(', ')}, not ${wrong}`);
  return health as Record<string, Health>;
}

const hostOf = (authority: string) => authority.replace(/:\d+$/, '');

/** `http://HOST[:PORT]/target`, or https, with everything after the authority as it stands. */
const URL_OF_REQUEST = /^([A-Z]+) (https?):\/\/([^/?]+)(.*)$/;

function readSending(fields: Fields): SendingOfCase {
  const tcp = fields.below('tcp');
  const line = fields.text('request');
  const expected = fields.below('expect');
  const common = {
    from: fields.text('from') ?? 'client',
    times: fields.number('times') ?? 1,
    expect: readExpectation(expected ?? Fields.empty(fields)),
    pauseMs: fields.number('pauseMs'),
    turnsIll: fields.textOrList('turnsIll') ?? [],
    health: readHealth(fields),
    together: readTogether(fields.below('together') ?? Fields.empty(fields)),
    differs: fields.texts('differs') ?? {},
    proxyHeader: readProxyHeader(fields),
  };
  if (tcp !== undefined) {
    const connect = tcp.text('connect') ?? '';
    const sending = { kind: 'tcp' as const, ...common, name: fields.text('name') ?? `TCP to ${connect}`, connect };
    const whole = {
      ...sending,
      asks: tcp.text('asks'),
      send: tcp.text('send') ?? '',
      waits: tcp.flag('waits') ?? false,
      stays: tcp.flag('stays') ?? false,
      tls: readSentTls(tcp.below('tls'), hostOf(connect)),
    };
    tcp.done();
    fields.done();
    return whole;
  }
  const match = URL_OF_REQUEST.exec(line ?? '');
  if (match === null)
    throw fields.wrong('`request` must be `METHOD http[s]://HOST[:PORT]/PATH`, or there must be `tcp`');
  const [, method = '', scheme = '', host = '', target = ''] = match;
  const isSecure = scheme === 'https';
  const tls = fields.below('tls') ?? (isSecure ? Fields.empty(fields) : undefined);
  if (tls !== undefined && !isSecure) throw fields.wrong('`tls` is for requests by https');
  const sending = {
    kind: 'http' as const,
    http2: fields.flag('http2') ?? false,
    ...common,
    name: fields.text('name') ?? (line as string),
    method,
    host,
    target: `${fields.text('connect')?.startsWith(`${FORWARD_PROXY}:`) ? `http://${host}` : ''}${target === '' ? '/' : target}`,
    headers: fields.headerLines('headers'),
    body: fields.text('body'),
    connect: fields.text('connect') ?? (host.includes(':') ? host : `${host}:${isSecure ? 443 : 80}`),
    tls: readSentTls(tls, hostOf(host)),
    answers: fields.list('answers').map(readAnswer),
  };
  fields.done();
  return sending;
}

/** Reads one case. @throws Error saying which field of which file is wrong */
export function readCase(name: string): ConformanceCase {
  const text = (file: string) => readFileSync(join(folderOf(name), file), 'utf8');
  const fields = new Fields(`${name}/requests.yaml`, parse(text('requests.yaml')));
  const clients = fields.entries('clients').map(([client, each]) => readPod(client, each, client));
  const gateway: PodOfCase = {
    name: GATEWAY,
    namespace: 'istio-system',
    labels: { istio: 'ingressgateway' },
    serviceAccount: GATEWAY,
    ready: true,
    listens: [],
    loopback: false,
    isWell: true,
    deaf: false,
  };
  const named = clients.length > 0 ? clients : [readPod('client', Fields.empty(fields), 'client')];
  const read: ConformanceCase = {
    name,
    why: fields.text('why') ?? '',
    config: text('config.yaml'),
    mesh: existsSync(join(folderOf(name), 'mesh.yaml')) ? text('mesh.yaml') : '',
    pods: fields.entries('pods').map(([pod, each]) => readPod(pod, each, pod)),
    clients: named.some((client) => client.name === GATEWAY) ? named : [...named, gateway],
    requests: fields.list('requests').map(readSending),
    certificates: fields.entries('certificates').map(([each, below]) => readCertificate(each, below)),
    withoutEnvoy: fields.text('withoutEnvoy'),
  };
  if (read.why === '') throw fields.wrong('`why` must say in a line what the case shows');
  fields.done();
  return read;
}

/** All cases, as GROUP/NAME, in order. */
export function caseNames(): readonly string[] {
  const folders = (path: string) =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
      .sort();
  const groups = folders(CASES).map((group) => [group, join(CASES, group)] as const);
  const all = [...groups, [SECURITY, join(CASES, '..', SECURITY)] as const];
  return all.flatMap(([group, path]) => folders(path).map((name) => `${group}/${name}`));
}
