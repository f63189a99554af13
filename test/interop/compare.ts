// Interop tests: says in which fields two outcomes of the same request differ.

import { networkInterfaces } from 'node:os';
import type { HttpResponse, Outcome } from './http-exchange.js';

/** Headers whose values differ from one answer to the next by design; that they are there is compared all the same. */
const UNSTEADY_VALUES = new Set(['date', 'x-envoy-upstream-service-time']);

/** Addresses of this machine: where a client is on loopback, Envoy writes one of these for it. */
const OWN_ADDRESSES = new Set(
  Object.values(networkInterfaces()).flatMap((addresses) => (addresses ?? []).map(({ address }) => address)),
);

/** With addresses of this machine as 127.0.0.1. */
export const ownAsLoopback = (value: string): string =>
  value.replaceAll(/[\da-f.:]+/g, (address) => (OWN_ADDRESSES.has(address) ? '127.0.0.1' : address));

/** Fields that are not compared in any case: the short list, each with its reason. docs/compatibility.md says the same (from differences.md). */
export const NOT_COMPARED: Readonly<Record<string, string>> = {
  'response server': "a proxy's own name, which is configurable",
  'request x-envoy-expected-rq-timeout-ms': 'Lateen does not tell the upstream how long it will wait',
  'request x-envoy-external-address': "Lateen leaves the client's address in x-forwarded-for only",
  'request x-envoy-original-host': 'Lateen does not repeat the Host that it rewrote',
};

export interface Observed {
  readonly outcome: Outcome;
  /** Requests that reached any backend. */
  readonly hits: number;
  /** Lines of the access log. */
  readonly log: readonly string[];
}

/** One field in which the two differ, and its values. */
export interface Difference {
  readonly field: string;
  readonly envoy: string;
  readonly lateen: string;
}

function fieldsOfResponse(response: HttpResponse): Map<string, string> {
  const fields = new Map([
    ['status', String(response.status)],
    ['framing', response.framing],
  ]);
  for (const [name, value] of response.headers) {
    const key = `response ${name}`;
    const steady = UNSTEADY_VALUES.has(name) ? 'present' : value;
    fields.set(key, fields.has(key) ? `${fields.get(key)}, ${steady}` : steady);
  }
  addBody(fields, response.body);
  return fields;
}

/** The echo of a request becomes one field for each of its parts and headers, any other body one field. */
function addBody(fields: Map<string, string>, body: string): void {
  if (!body.startsWith('{')) {
    fields.set('body', body);
    return;
  }
  const echo = JSON.parse(body) as { headers: string[] } & Record<string, unknown>;
  for (const [name, value] of Object.entries(echo)) {
    if (name !== 'headers') fields.set(`request ${name}`, String(value));
  }
  for (const line of echo.headers) {
    const colon = line.indexOf(':');
    const key = `request ${line.slice(0, colon)}`;
    const value = key === 'request x-forwarded-for' ? ownAsLoopback(line.slice(colon + 2)) : line.slice(colon + 2);
    fields.set(key, fields.has(key) ? `${fields.get(key)}, ${value}` : value);
  }
}

function fieldsOf({ outcome, hits, log }: Observed): Map<string, string> {
  const fields = 'ended' in outcome ? new Map([['ended', outcome.ended]]) : fieldsOfResponse(outcome.response);
  if ('response' in outcome) {
    if (outcome.certificate !== undefined) fields.set('certificate', outcome.certificate);
    if (outcome.protocol !== undefined) fields.set('protocol', outcome.protocol);
  }
  // What an echoed request weighs follows from fields that are compared.
  if (fields.get('response content-type') === 'application/json') fields.delete('response content-length');
  for (const name of Object.keys(NOT_COMPARED)) fields.delete(name);
  fields.set('backend requests', String(hits));
  fields.set('access log', log.join(' | '));
  return fields;
}

/** The fields in which they differ, in a steady order. */
export function differences(envoy: Observed, lateen: Observed): Difference[] {
  const left = fieldsOf(envoy);
  const right = fieldsOf(lateen);
  const found: Difference[] = [];
  for (const field of [...new Set([...left.keys(), ...right.keys()])].sort()) {
    const difference = { field, envoy: left.get(field) ?? '(absent)', lateen: right.get(field) ?? '(absent)' };
    if (difference.envoy !== difference.lateen) found.push(difference);
  }
  return found;
}
