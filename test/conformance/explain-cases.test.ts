// Conformance of explain: of each case it foretells what the case expects of the wire: pod, status, path, Host, cluster, route.

import { mkdtempSync, rmSync } from 'node:fs';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Explanation, explainArrival, explainWithTokens, findCaller, parseRequest } from '@lateen/explain';
import { TestAuthority } from '@lateen/identity/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type ConformanceCase,
  caseNames,
  GATEWAY,
  type HttpSending,
  readCase,
  type SendingOfCase,
} from './case-file.js';
import { CaseMembers } from './members/case-members.js';
import { type CaseAddresses, type CaseConfig, readCaseConfig, snapshotOf } from './mesh/case-snapshot.js';
import { CertificateIssuer } from './mesh/certificates.js';
import { locatedCase } from './mesh/located-case.js';

/**
 * Calls of the client's own port do not go through its outbound configuration, which is what explain is about. It knows nothing
 * of handshakes: not of those that fail, of what certificates say, nor of connections that are led by server names, or by a gateway; and of
 * no address but a gateway's own. Nor does it ask a Sidecar's own forward proxy: it goes by the URL; or any for a tunnel. What probes tell
 * of members is a matter of time.
 */
function isExplained(sending: SendingOfCase): boolean {
  const { connect, tls, from, kind, expect: expected, health } = sending;
  const isByAddress = isIP(connect.replace(/:\d+$/, '')) !== 0;
  return (
    !/^(inbound:|forward-proxy:(?!15007$))/.test(connect) &&
    !isByAddress &&
    Object.keys(health).length === 0 &&
    expected.status !== 0 &&
    !(tls?.certificate !== undefined && expected.status === 403) &&
    (kind === 'http' || (tls === undefined && from !== GATEWAY && sending.asks === undefined))
  );
}

type Question = readonly [sending: SendingOfCase, ask: () => Promise<Explanation>];

/** Who is no pod of the mesh is known to explain by the name that leads there. */
function withoutUpstream(sending: SendingOfCase, outside: ReadonlySet<string>): SendingOfCase {
  const { expect: expected } = sending;
  return expected.upstream?.some((pod) => outside.has(pod))
    ? { ...sending, expect: { ...expected, upstream: undefined } }
    : sending;
}

const directory = mkdtempSync(join(tmpdir(), 'lateen-explain-cases-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function meshOf(written: ConformanceCase, issuer: CertificateIssuer) {
  const { pods, clients } = written;
  const names = [...clients, ...pods].map(({ name }) => name);
  const addresses: CaseAddresses = {
    pod: (name) => `127.1.0.${1 + names.indexOf(name)}`,
    service: (client, index) => `127.1.${1 + names.indexOf(client)}.${1 + index}`,
  };
  const conformanceCase = locatedCase(written, {
    address: addresses.pod,
    port: (_pod, port) => port,
    socket: (pod) => `/run/${pod}.sock`,
    certificates: await issuer.forCase(written.certificates),
  });
  const config = readCaseConfig(conformanceCase);
  const file = join(directory, 'registered.json');
  const members = await CaseMembers.register(conformanceCase, config, addresses, file);
  const snapshot = snapshotOf(conformanceCase, config, addresses, () => 1, members.entries());
  await members.close();
  return { snapshot, objects: config.objects, services: config.services, requests: conformanceCase.requests };
}

async function questionsOf(written: ConformanceCase, issuer: CertificateIssuer) {
  const { snapshot, objects, services, requests } = await meshOf(written, issuer);
  const outside = new Set(
    written.pods.filter(({ loopback, socket, group }) => loopback || socket || group).map(({ name }) => name),
  );
  const questions = requests.filter(isExplained).map(
    (sending): Question => [
      withoutUpstream(sending, outside),
      () => {
        const caller = findCaller(snapshot, sending.from, undefined);
        const request = parseRequest(lineOf(sending), sending.kind === 'http' ? headersOf(sending) : []);
        return explainWithTokens({ snapshot, documents: objects, caller, request }, Date.now());
      },
    ],
  );
  return { questions, services };
}

function lineOf(sending: SendingOfCase): string {
  if (sending.kind === 'tcp') return `GET http://${sending.connect}/`;
  const { method, connect, target, tls } = sending;
  if (tls !== undefined) return `${method} https://${tls.sni}${connect.slice(connect.lastIndexOf(':'))}${target}`;
  return `${method} ${target.startsWith('http:') ? target : `http://${connect}${target}`}`;
}

function headersOf({ host, headers }: HttpSending): string[] {
  const lines = Object.entries(headers).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}: ${value}`),
  );
  return [`host: ${host}`, ...lines];
}

function headOf(sending: HttpSending): string {
  const lines = headersOf(sending).map((line) => `${line}\r\n`);
  return `${sending.method} ${sending.target} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** The port of a Service says no protocol. */
function detects(services: CaseConfig['services'], connect: string): boolean {
  const [host = '', port] = connect.split(':');
  const service = services.find(({ name }) => name === host.split('.')[0]);
  const { name = '', appProtocol = '' } = service?.ports.find((each) => each.port === Number(port)) ?? {};
  return name === '' && appProtocol === '';
}

const TOO_MANY = 429;
/** Logs may have other names for clusters, where the mesh says so. */
const CLUSTER_NAME = /\||Cluster$/;

/** The status that is to be seen, as far as configuration alone decides it; undefined: pods or time do. */
function foretold(answer: Explanation): number | undefined {
  const { status, fault } = answer;
  if (asksOf(answer).length > 0) return undefined;
  if (limitsOf(answer).some(({ enforcedPercentage }) => enforcedPercentage > 0)) return undefined;
  // Explain tells of the pods' sidecars, which they have none of here.
  if (answer.inbound.some(({ authorization }) => authorization?.decision === 'denied')) return undefined;
  if (status !== null) return status;
  if (fault?.abort?.percentage === 100) return fault.abort.httpStatus ?? undefined;
  return fault?.abort ? undefined : 200;
}

/** Wherever the request is counted. What they let through depends on what came before. */
function limitsOf({ limits, inbound }: Explanation): Explanation['limits'] {
  return [...limits, ...inbound.flatMap((arrival) => arrival.limits)];
}

/** Services that are asked about it, wherever. */
function asksOf({ asks, inbound }: Explanation): Explanation['asks'] {
  return [...asks, ...inbound.flatMap((arrival) => arrival.asks)];
}

/** As pods tell it (`mesh/answers/limit-answers.ts`); null: none is asked. */
function askedText(asks: Explanation['asks']): string | null {
  if (asks.length === 0) return null;
  const each = asks.map(({ descriptor }) => descriptor.map(({ key, value }) => `${key}=${value ?? '?'}`).join(','));
  return `${asks[0]?.domain}: ${each.join(' ')}`;
}

function checkHttp(sending: HttpSending, answer: Explanation): void {
  const { expect: expected, answers, name } = sending;
  const { upstream, received, log } = expected;
  // An authorizer answers what the case says, and may change the request.
  if ((answer.authorization?.asked ?? null) !== null) return;
  // Of gRPC the proxy's own answers are 200, with the status in a header.
  const isGrpc = sending.headers['content-type'] === 'application/grpc';
  const status = isGrpc ? undefined : foretold(answer);
  if (expected.status !== undefined && answers.length === 0 && status !== undefined) {
    expect(status, `${name}: status`).toBe(expected.status);
  }
  const pods = answer.clusters.flatMap(({ endpoints }) => endpoints.map(({ pod }) => pod.replace(/\..*$/, '')));
  const isAborted = answer.fault?.abort?.percentage === 100;
  const limited = [...limitsOf(answer), ...asksOf(answer)].map((limit) => limit.status);
  // Pods tell their client what they were asked.
  const { 'x-asked': told } = expected.headers;
  if (told !== undefined) {
    // Whose address it is nobody knows beforehand.
    const foreseen = told === null ? null : String(told).replace(/remote_address=[^,]+/, 'remote_address=?');
    expect(askedText(asksOf(answer)), `${name}: what services are told`).toBe(foreseen);
  }
  if (expected.status === TOO_MANY && answers.length === 0) expect(limited, `${name}: limits`).toContain(TOO_MANY);
  if (upstream?.length === 0)
    expect([name, answer.status !== null || isAborted || limited.length > 0]).toEqual([name, true]);
  for (const pod of upstream ?? []) expect(pods, `${name}: pods`).toContain(pod);
  if (received?.path !== undefined) expect([name, answer.path]).toEqual([name, received.path]);
  if (received?.host !== undefined) expect([name, answer.host]).toEqual([name, received.host]);
  if (log.cluster !== undefined && CLUSTER_NAME.test(log.cluster))
    expect(
      answer.clusters.map((each) => each.name),
      name,
    ).toContain(log.cluster);
  if (log.route !== undefined) expect([name, answer.route]).toEqual([name, log.route]);
  for (const [header, value] of Object.entries(expected.headers)) {
    if (header.startsWith('access-control-') && answers.length === 0) {
      expect([name, header, answer.cors?.headers[header] ?? null]).toEqual([name, header, value]);
    }
  }
  const { location } = expected.headers;
  if (typeof location === 'string' && answer.action === 'redirect')
    expect([name, answer.location]).toEqual([name, location]);
}

/** What the client's own sidecar makes of a request, or of a connection, that comes straight to its port. */
async function arrivalsOf(written: ConformanceCase, issuer: CertificateIssuer): Promise<void> {
  const { snapshot, objects, requests } = await meshOf(written, issuer);
  const { certificates } = written;
  for (const sending of requests) {
    if (!sending.connect.startsWith('inbound:')) continue;
    const target = findCaller(snapshot, sending.from, undefined);
    const port = Number(sending.connect.split(':')[1]);
    const shown = certificates.find(({ name }) => name === sending.tls?.certificate);
    const [namespace = '', serviceAccount = ''] = shown?.subject.split('/') ?? [];
    const caller = shown === undefined ? target : { ...target, namespace, serviceAccount };
    const tls = shown === undefined ? ('none' as const) : ('mutual' as const);
    const serverName = sending.tls?.sni ?? '';
    const call = { target, port, tls, serverName, head: sending.kind === 'http' ? headOf(sending) : '' };
    const arrival = await explainArrival({ snapshot, documents: objects, caller }, call, Date.now());
    const { action, authorization = null } = arrival?.inbound ?? {};
    const { status, log, text, headers } = sending.expect;
    const { asked = null } = authorization ?? {};
    if (headers['x-asked'] === null) expect([sending.name, asked]).toEqual([sending.name, null]);
    // Who is asked answers what the case says, and may change the request.
    if (asked !== null) continue;
    const denied = /^rbac_access_denied_matched_policy\[(.*)\]$/.exec(log.details ?? '')?.[1];
    if (denied !== undefined) expect([sending.name, authorization?.rule ?? 'none']).toEqual([sending.name, denied]);
    if (sending.kind === 'tcp') {
      // Who is denied hears nothing at all.
      expect([sending.name, action]).toEqual([sending.name, text === '' ? 'denied' : 'tcp']);
      continue;
    }
    const refusedWith = (arrival?.notes ?? []).join().match(/token is refused with (\d+)/)?.[1] ?? '401';
    const foreseen = action === 'denied' ? 403 : action === 'refused' ? Number(refusedWith) : 200;
    expect([sending.name, foreseen]).toEqual([sending.name, status]);
  }
}

describe('explain foretells', () => {
  let issuer: CertificateIssuer;
  beforeAll(async () => {
    issuer = new CertificateIssuer(await TestAuthority.create());
  });
  const ofSecurity = caseNames().filter((name) => name.startsWith('security/'));
  test.each(ofSecurity)('who may in %s', (name) => arrivalsOf(readCase(name), issuer));

  test.each(caseNames())('%s', async (name) => {
    const { questions, services } = await questionsOf(readCase(name), issuer);
    for (const [sending, ask] of questions) {
      const answer = await ask();
      expect(answer.from.gateway, sending.name).toBe(sending.from === GATEWAY);
      if (sending.kind === 'http') checkHttp(sending, answer);
      // Of a port that says no protocol it tells what becomes of a request.
      const isTcp = sending.kind === 'tcp' && !detects(services, sending.connect);
      if (isTcp) expect([sending.name, answer.action]).toEqual([sending.name, 'tcp']);
    }
  });
});
