// Debug API on 15016: read-only JSON over mutual TLS, for the CLI and for people.

import type { MtlsHttpHandler } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { MeshSnapshot, TranslationCache } from '@lateen/translate';
import type { AdsSubscriberReport } from '@lateen/xds-stream';
import { describePodById, describeServiceByName } from '../describe/describe-page.js';
import { type DistributionQuery, OWN_ONLY, parseDistributionQuery } from '../distribution/distribution-query.js';
import { type DistributionWaits, TooManyWaits } from '../distribution/distribution-waits.js';
import type { SecretStanding } from '../kubernetes/secret-watches.js';
import { answerOfPeer, joinedDistribution, joinedList } from '../peers/joined-answers.js';
import type { PeerPilots } from '../peers/peer-pilots.js';
import type { ProxySource } from '../push/proxy-source.js';
import type { SnapshotBuilder } from '../snapshot/snapshot-builder.js';
import { checkTls } from './authn.js';
import { dumpConfig } from './config-dump.js';
import { describeMesh } from './mesh-page.js';
import { findProxy, proxyIdOfReport } from './proxies.js';
import { describeRegistry } from './registryz.js';
import { describeSnapshot } from './snapshot.js';
import { describeSync } from './syncz.js';

export interface DebugSources {
  /** All connected proxies, of both ports. */
  readonly proxies: () => readonly AdsSubscriberReport[];
  readonly builder: SnapshotBuilder;
  readonly source: ProxySource;
  readonly cache: TranslationCache;
  readonly distribution: DistributionWaits;
  /** How the Secrets stand that configuration names. */
  readonly secrets: () => readonly SecretStanding[];
  /** The other replicas, whose proxies are asked about as well; none in local mode. */
  readonly peers?: PeerPilots | undefined;
  readonly logger: Logger;
}

/** What a path answers: a status and JSON. */
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

const DISTRIBUTION_PATH = '/debug/distribution';
const SYNC_PATH = '/debug/syncz';
const CONFIG_DUMP_PATH = '/debug/config_dump';
const PATHS = [
  DISTRIBUTION_PATH,
  SYNC_PATH,
  CONFIG_DUMP_PATH,
  '/debug/registryz',
  '/debug/authn',
  '/debug/describe',
  '/debug/snapshot',
  '/debug/mesh',
  '/debug/secrets',
];

/** The handler of the debug server. Who may call was checked when the connection was made. */
export function createDebugHandler(sources: DebugSources): MtlsHttpHandler {
  return (request, response) => {
    const reply = ({ status, body }: Answer) => {
      response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
      response.end(`${JSON.stringify(body, undefined, 2)}\n`);
    };
    const { method = '', url = '/' } = request;
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    answerOfAll(method, url, gone.signal, sources).then(reply, (error: Error) => {
      if (error instanceof TooManyWaits) return reply(failure(503, error.message));
      sources.logger.error({ error, url }, 'debug request failed');
      reply(failure(500, error.message));
    });
  };
}

/** Pages about proxies are joined from all replicas, unless one of them asks. */
async function answerOfAll(method: string, target: string, gone: AbortSignal, sources: DebugSources): Promise<Answer> {
  const own = () => answerSafely(method, target, sources);
  if (method !== 'GET') return own();
  const { pathname, searchParams } = new URL(target, 'https://pilot');
  if (pathname === DISTRIBUTION_PATH && searchParams.size > 0) return awaitDistribution(searchParams, gone, sources);
  const peers = othersOf(sources, searchParams);
  if (peers === undefined) return own();
  if (pathname === SYNC_PATH) {
    const { value, unasked } = await joinedList(peers, pathname, describeSync(sources.proxies()));
    for (const each of unasked) sources.logger.warn(each, 'a replica cannot be asked for its proxies');
    return success(value);
  }
  const answer = own();
  if (pathname !== CONFIG_DUMP_PATH || answer.status !== 404) return answer;
  return (await answerOfPeer(peers, pathname, searchParams)) ?? answer;
}

/** Undefined where there are none to be asked. */
function othersOf({ peers }: DebugSources, query: URLSearchParams): PeerPilots | undefined {
  return query.get(OWN_ONLY) === 'true' || peers?.list().length === 0 ? undefined : peers;
}

/** The one page that is answered when something has happened, or its time is over. */
async function awaitDistribution(params: URLSearchParams, gone: AbortSignal, sources: DebugSources): Promise<Answer> {
  const query = parseDistributionQuery(params);
  if ('error' in query) return failure(400, query.error);
  const { distribution } = sources;
  const peers = othersOf(sources, params);
  if (peers === undefined) return success(await distribution.wait(query, gone));
  const ask = (own: DistributionQuery) => distribution.wait(own, gone);
  return success(await joinedDistribution(peers, DISTRIBUTION_PATH, params, query, ask, gone));
}

function answerSafely(method: string, target: string, sources: DebugSources): Answer {
  try {
    if (method !== 'GET') return failure(405, `${method} is not allowed; the debug API only reads`);
    const url = new URL(target, 'https://pilot');
    return answer(url.pathname, url.searchParams, sources);
  } catch (error) {
    sources.logger.error({ error, target }, 'debug request failed');
    return failure(500, (error as Error).message);
  }
}

function answer(path: string, query: URLSearchParams, sources: DebugSources): Answer {
  const proxyId = query.get('proxyID') ?? '';
  const { proxies, builder } = sources;
  switch (path) {
    case SYNC_PATH:
      return success(describeSync(proxies()));
    case CONFIG_DUMP_PATH:
      return configDump(proxyId, proxies());
    case '/debug/registryz':
      return ofMesh(builder, describeRegistry);
    case '/debug/mesh':
      return ofMesh(builder, describeMesh);
    case '/debug/secrets':
      return success(sources.secrets());
    case '/debug/authn':
      return tlsCheck(proxyId, sources);
    case '/debug/describe':
      return describe(proxyId, query.get('service') ?? '', sources);
    case '/debug/snapshot':
      return success(describeSnapshot(sources));
    case DISTRIBUTION_PATH:
      return failure(400, `say what: ${DISTRIBUTION_PATH}?present=true&timeoutMs=1000`);
    default:
      return failure(404, `there is no ${path}; try ${PATHS.join(', ')}`);
  }
}

function ofMesh(builder: SnapshotBuilder, describe: (mesh: MeshSnapshot) => unknown): Answer {
  const mesh = builder.current?.mesh;
  return mesh === undefined ? failure(503, builder.missing() ?? 'no snapshot yet') : success(describe(mesh));
}

function configDump(proxyId: string, reports: readonly AdsSubscriberReport[]): Answer {
  if (proxyId === '') return failure(400, 'say which proxy: /debug/config_dump?proxyID=POD.NAMESPACE');
  const report = findProxy(reports, proxyId);
  if (report === undefined) {
    const connected = reports.map(proxyIdOfReport).sort().join(', ') || 'none';
    return failure(404, `no proxy "${proxyId}" is connected; connected: ${connected}`);
  }
  return success(dumpConfig(report));
}

function describe(proxyId: string, service: string, { builder, cache }: DebugSources): Answer {
  if (proxyId === '' && service === '') {
    return failure(400, 'say what: /debug/describe?proxyID=POD.NAMESPACE or ?service=NAME.NAMESPACE');
  }
  const mesh = builder.current?.mesh;
  if (mesh === undefined) return failure(503, builder.missing() ?? 'no snapshot yet');
  const found = proxyId === '' ? describeServiceByName(mesh, cache, service) : describePodById(mesh, cache, proxyId);
  return 'error' in found ? failure(404, found.error) : success(found);
}

function tlsCheck(proxyId: string, { proxies, builder, cache }: DebugSources): Answer {
  if (proxyId === '') return failure(400, 'say which proxy: /debug/authn?proxyID=POD.NAMESPACE');
  const mesh = builder.current?.mesh;
  if (mesh === undefined) return failure(503, builder.missing() ?? 'no snapshot yet');
  const workload = mesh.workloads.find(({ name, namespace }) => `${name}.${namespace}` === proxyId);
  if (workload === undefined) {
    const known = mesh.workloads.map(({ name, namespace }) => `${name}.${namespace}`).join(', ') || 'none';
    return failure(404, `the registry knows no workload "${proxyId}"; known: ${known}`);
  }
  const report = findProxy(proxies(), proxyId);
  const sent = report && new Map(report.types.map(({ typeUrl, resources }) => [typeUrl, resources]));
  return success(checkTls(workload, mesh, cache, sent));
}

function success(body: unknown): Answer {
  return { status: 200, body };
}

function failure(status: number, error: string): Answer {
  return { status, body: { error } };
}
