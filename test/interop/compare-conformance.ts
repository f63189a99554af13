// Interop tests: says in which fields two proxies differ on a request of test/conformance, less what differs by design.

import { answeredBy } from '../conformance/check.js';
import type { Observation, SendingResult } from '../conformance/mesh/mesh-under-test.js';
import { countsOf, countsText, mayBeAlike, mayBeAlikeSums } from './alike-counts.js';
import { type Difference, NOT_COMPARED, ownAsLoopback } from './compare.js';

/** Values that differ from one request to the next; that they are there is compared. */
const UNSTEADY_VALUES = new Set([
  'response date',
  'response x-envoy-upstream-service-time',
  'response retry-after',
  'response ratelimit-reset',
  'request x-request-id',
  'request x-conformance-id',
  'copy x-request-id',
  'copy x-conformance-id',
]);

/** What a Lateen proxy tells the proxies of its mesh about itself; a stock Envoy has no such filter. */
const OF_THE_MESH = ['request x-envoy-peer-metadata', 'request x-envoy-peer-metadata-id'];

/** What Envoy says in copies of the proxy that made them. */
const OF_COPIES = ['copy x-envoy-internal', 'copy x-forwarded-for'];

/** Both have addresses and certificates of their own. */
function steadyText(value: string): string {
  return ownAsLoopback(value)
    .replaceAll(/^127\.0\.0\.1:\d+$/g, 'APPLICATION')
    .replaceAll(/\b127\.\d+\.\d+\.\d+\b/g, 'ADDRESS')
    .replaceAll(/\blocalhost:\d+\b/g, 'localhost:PORT')
    .replaceAll(/\|\d+\|\|(\S*localhost)\b/g, '|PORT||$1')
    .replaceAll(/\bHash=[0-9a-f]{64}\b/g, 'Hash=HASH')
    .replaceAll(/(?<=BEGIN%20CERTIFICATE-----)[0-9A-Za-z%]+(?=-----END)/g, 'CERTIFICATE');
}

/** Which pod answers is chance, or the hash of addresses, of which each mesh has its own. */
const bodyOfAnyPod = (observation: Observation): string =>
  observation.answer.body.replace(answeredBy(observation), 'POD');

/** @param isDetermined whether the case says which pod answers */
function fieldsOf(observation: Observation, isDetermined: boolean): Map<string, string> {
  const { answer, received, copies, log } = observation;
  const fields = new Map<string, string>([['status', String(answer.status)]]);
  const add = (prefix: string, headers: readonly (readonly [string, string])[]) => {
    for (const [name, value] of headers) {
      const key = `${prefix} ${name}`;
      const steady = UNSTEADY_VALUES.has(key) ? 'present' : steadyText(value);
      fields.set(key, fields.has(key) ? `${fields.get(key)}, ${steady}` : steady);
    }
  };
  add('response', answer.headers);
  fields.set('body', answer.status === 0 ? '(no answer)' : isDetermined ? answer.body : bodyOfAnyPod(observation));
  fields.set('attempts', String(received.length));
  const request = received.at(-1);
  if (request !== undefined) {
    fields.set('request line', `${request.method} ${request.path}`);
    fields.set('request body', request.body);
    add('request', request.headers);
  }
  for (const { pod, method, path, body: copied, headers } of copies) {
    fields.set(`copy to ${pod}`, `${method} ${path} ${copied}`);
    add('copy', headers);
  }
  for (const [name, value] of Object.entries(log ?? {})) {
    if (LOGGED_OF_REQUESTS.has(name)) fields.set(`log ${name}`, steadyText(value));
  }
  if (log?.details === 'rate_limited_by_quota') fields.set('log flags', log.flags.replace('RFCF', 'RL'));
  for (const name of [...Object.keys(NOT_COMPARED), ...OF_THE_MESH, ...OF_COPIES]) {
    fields.delete(name);
    fields.delete(name.replace('request', 'copy'));
  }
  return fields;
}

/** Lines about requests have it, and those about connections more. */
const LOGGED_OF_REQUESTS: ReadonlySet<string> = new Set(['code', 'flags', 'details', 'cluster', 'route', 'serverName']);
/** Of reasons each TLS library has its own words. */
const LOGGED_OF_CONNECTIONS: ReadonlySet<string> = new Set([
  'flags',
  'cluster',
  'route',
  'host',
  'serverName',
  'received',
  'sent',
  'termination',
]);

/** What a client has read, and what the pod and the access log saw of the connection. */
function fieldsOfConnection(observation: Observation, isDetermined: boolean): Map<string, string> {
  const { answer, log } = observation;
  const fields = new Map([['text', steadyText(isDetermined ? answer.body : bodyOfAnyPod(observation))]]);
  for (const [name, value] of Object.entries(log ?? {})) {
    if (LOGGED_OF_CONNECTIONS.has(name)) fields.set(`log ${name}`, steadyText(value));
  }
  if (log !== undefined) fields.set('log failure', log.failure === '-' ? '-' : 'told');
  return fields;
}

/**
 * Of TLS that a proxy began the version and the suite are left out: Envoy speaks at most 1.2 to upstreams where nobody says. TLS that no
 * proxy has ended has signatures of more or fewer bytes.
 */
function withHandshakes(fields: Map<string, string>, { answer, received }: Observation): Map<string, string> {
  const pod = received.at(-1);
  const ofProxy = answer.tls === undefined ? ['version', 'cipher'] : [];
  for (const [side, facts] of [
    ['response', answer.tls],
    ['request', pod?.tls],
  ] as const) {
    for (const [name, value] of Object.entries(facts ?? {})) {
      if (side === 'response' || !ofProxy.includes(name)) fields.set(`${side} tls ${name}`, steadyText(value));
    }
  }
  if (pod?.proxyHeader !== undefined) fields.set('request PROXY header', steadyText(pod.proxyHeader));
  return fields;
}

const BYTES_LOGGED = ['log received', 'log sent'];
const BYTES_COUNTED = ['downstream_cx_rx_bytes_total', 'downstream_cx_tx_bytes_total'];

/** TLS goes through the proxy, or may: of connections that are made several times nobody knows what the pod saw. */
const isPassed = ({ answer, received }: Observation, times: number) =>
  answer.tls !== undefined && (times > 1 || received.at(-1)?.tls !== undefined);
const isPassedOn = ({ sending, observations }: SendingResult) =>
  observations.some((observation) => isPassed(observation, sending.times));

function withoutBytes(fields: Map<string, string>, observation: Observation, times: number): Map<string, string> {
  if (isPassed(observation, times)) for (const name of BYTES_LOGGED) fields.delete(name);
  return fields;
}

type Fields = ReadonlyMap<string, string>;

/** What was seen of each repetition. */
function fieldsSeen({ sending, observations }: SendingResult): Fields[] {
  const isDetermined = sending.expect.upstream?.length === 1;
  return observations.map((observation) => {
    const fields =
      sending.kind === 'tcp' ? fieldsOfConnection(observation, isDetermined) : fieldsOf(observation, isDetermined);
    return withoutBytes(withHandshakes(fields, observation), observation, sending.times);
  });
}

const namesIn = (all: readonly Fields[]): string[] => [...new Set(all.flatMap((fields) => [...fields.keys()]))].sort();

/**
 * In which fields they differ. Of what is sent several times each field has counts of its values, which must be such that one chance can
 * have made both, and what is counted is compared as a sum.
 */
export function differencesOf(envoy: SendingResult, lateen: SendingResult): Difference[] {
  const { times } = envoy.sending;
  const left = fieldsSeen(envoy);
  const right = fieldsSeen(lateen);
  const ofFields = namesIn([...left, ...right]).flatMap((field): Difference[] => {
    const [ofEnvoy, ofLateen] = [left, right].map((all) => countsOf(all.map((fields) => fields.get(field) ?? ABSENT)));
    if (mayBeAlike(ofEnvoy!, ofLateen!)) return [];
    return [{ field, envoy: countsText(ofEnvoy!), lateen: countsText(ofLateen!) }];
  });
  return [...ofFields, ...differencesOfStats(envoy, lateen, times)];
}

const ABSENT = '(absent)';

function differencesOfStats(envoy: SendingResult, lateen: SendingResult, times: number): Difference[] {
  const leftOut = [envoy, lateen].some(isPassedOn) || times > 1 ? BYTES_COUNTED : [];
  // A counter may grow once with each attempt and each copy.
  const perRequest = [envoy, lateen].flatMap(({ observations }) =>
    observations.map(({ received, copies }) => Math.max(1, received.length) + copies.length),
  );
  const trials = times * Math.max(...perRequest);
  const names = new Set([envoy, lateen].flatMap(({ stats = {} }) => Object.keys(stats)));
  return [...names].sort().flatMap((name): Difference[] => {
    const [ofEnvoy, ofLateen] = [envoy, lateen].map(({ stats = {} }) => stats[name]);
    if (leftOut.includes(name) || ofEnvoy === ofLateen) return [];
    if (times > 1 && mayBeAlikeSums(ofEnvoy ?? 0, ofLateen ?? 0, trials)) return [];
    return [{ field: `stat ${name}`, envoy: String(ofEnvoy ?? ABSENT), lateen: String(ofLateen ?? ABSENT) }];
  });
}
