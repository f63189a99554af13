// Interop tests: says in which fields two proxies differ on a request of test/conformance, less what differs by design.

import type { Observation, SendingResult } from '../conformance/mesh/mesh-under-test.js';
import { type Difference, NOT_COMPARED, ownAsLoopback } from './compare.js';

/** Values that differ from one request to the next; that they are there is compared. */
const UNSTEADY_VALUES = new Set([
  'response date',
  'response x-envoy-upstream-service-time',
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
    .replaceAll(/\b127\.\d+\.\d+\.\d+\b/g, 'ADDRESS')
    .replaceAll(/\blocalhost:\d+\b/g, 'localhost:PORT')
    .replaceAll(/\|\d+\|\|(\S*localhost)\b/g, '|PORT||$1')
    .replaceAll(/\bHash=[0-9a-f]{64}\b/g, 'Hash=HASH');
}

/** @param isDetermined whether the case says which pod answers */
function fieldsOf({ answer, received, copies, log }: Observation, isDetermined: boolean): Map<string, string> {
  const fields = new Map<string, string>([['status', String(answer.status)]]);
  const add = (prefix: string, headers: readonly (readonly [string, string])[]) => {
    for (const [name, value] of headers) {
      const key = `${prefix} ${name}`;
      const steady = UNSTEADY_VALUES.has(key) ? 'present' : steadyText(value);
      fields.set(key, fields.has(key) ? `${fields.get(key)}, ${steady}` : steady);
    }
  };
  add('response', answer.headers);
  const pod = received.at(-1)?.pod;
  const body = answer.status === 0 ? '(no answer)' : answer.body;
  fields.set('body', isDetermined || pod === undefined ? body : body.replace(pod, 'POD'));
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
  for (const [name, value] of Object.entries(log ?? {})) fields.set(`log ${name}`, steadyText(value));
  for (const name of [...Object.keys(NOT_COMPARED), ...OF_THE_MESH, ...OF_COPIES]) {
    fields.delete(name);
    fields.delete(name.replace('request', 'copy'));
  }
  return fields;
}

function withStats(fields: Map<string, string>, { stats = {} }: SendingResult): Map<string, string> {
  for (const [name, value] of Object.entries(stats)) fields.set(`stat ${name}`, String(value));
  return fields;
}

/** Of requests that are sent several times only what the case expects is compared: which pod has which is chance. */
export function differencesOf(envoy: SendingResult, lateen: SendingResult): Difference[] {
  if (envoy.sending.times > 1 || envoy.sending.kind !== 'http') return [];
  const isDetermined = envoy.sending.expect.upstream?.length === 1;
  const left = withStats(fieldsOf(envoy.observations[0]!, isDetermined), envoy);
  const right = withStats(fieldsOf(lateen.observations[0]!, isDetermined), lateen);
  return [...new Set([...left.keys(), ...right.keys()])].sort().flatMap((field) => {
    const difference = { field, envoy: left.get(field) ?? '(absent)', lateen: right.get(field) ?? '(absent)' };
    return difference.envoy === difference.lateen ? [] : [difference];
  });
}
