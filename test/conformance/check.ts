// Conformance, step 6: what was seen beside what the case expects; every difference becomes a line.

import type { Expectation, ExpectedHeader, ExpectedRequest, SendingOfCase, Together } from './case-file.js';
import type { TlsFacts } from './case-tls.js';
import type { ReceivedRequest } from './mesh/echo-pods.js';
import type { Observation, SendingResult } from './mesh/mesh-under-test.js';

type HeaderLines = readonly (readonly [string, string])[];

/** One thing that is not as expected: the field, as `differs` of a case names it, and the two values. */
export interface Failure {
  readonly field: string;
  readonly expected: string;
  readonly seen: string;
}

const valuesOf = (headers: HeaderLines, name: string): string[] =>
  headers.filter(([each]) => each === name).map(([, value]) => value);

function headerFailures(
  prefix: string,
  expected: Readonly<Record<string, ExpectedHeader>>,
  headers: HeaderLines,
): Failure[] {
  return Object.entries(expected).flatMap(([name, value]) => {
    const seen = valuesOf(headers, name);
    const wanted = value === null ? [] : typeof value === 'string' ? [value] : value;
    if (seen.length === wanted.length && wanted.every((each, index) => isValue(each, seen[index]!))) return [];
    return [{ field: `${prefix} ${name}`, expected: JSON.stringify(wanted), seen: JSON.stringify(seen) }];
  });
}

/** An expected `/…/` is a regular expression. */
function isValue(expected: string, seen: string): boolean {
  const pattern = /^\/(.+)\/$/.exec(expected)?.[1];
  return pattern === undefined || !/[\\^$*+]/.test(pattern) ? expected === seen : new RegExp(pattern).test(seen);
}

function compare(field: string, expected: string | number | undefined, seen: string | number | undefined): Failure[] {
  if (expected === undefined || isValue(String(expected), String(seen))) return [];
  return [{ field, expected: String(expected), seen: String(seen) }];
}

function requestFailures(expected: ExpectedRequest, request: ReceivedRequest | undefined): Failure[] {
  return [
    ...compare('request protocol', expected.protocol, request?.protocol),
    ...compare('request method', expected.method, request?.method),
    ...compare('request path', expected.path, request?.path),
    ...compare('request host', expected.host, request?.host),
    ...compare('request body', expected.body, request?.body),
    ...headerFailures('request', expected.headers, request?.headers ?? []),
    ...tlsFailures('request', expected.tls, request?.tls),
    ...compare('request PROXY header', expected.proxyHeader ?? undefined, request?.proxyHeader),
    ...(expected.proxyHeader === null ? compare('request PROXY header', 'none', request?.proxyHeader ?? 'none') : []),
  ];
}

/** @param expected null: there is to be no TLS */
function tlsFailures(
  prefix: string,
  expected: Readonly<Record<string, string>> | null | undefined,
  facts: TlsFacts | undefined,
): Failure[] {
  if (expected === null) return compare(`${prefix} tls`, 'none', facts === undefined ? 'none' : JSON.stringify(facts));
  return Object.entries(expected ?? {}).flatMap(([name, value]) =>
    compare(`${prefix} tls ${name}`, value, facts?.[name]),
  );
}

function upstreamFailures(expected: readonly string[], received: readonly ReceivedRequest[]): Failure[] {
  const pod = received.at(-1)?.pod;
  const isRight = expected.length === 0 ? pod === undefined : pod !== undefined && expected.includes(pod);
  if (isRight) return [];
  return [{ field: 'upstream', expected: expected.join(' or ') || 'none', seen: pod ?? 'none' }];
}

function timeFailures({ minMs, maxMs }: Expectation, elapsedMs: number): Failure[] {
  const seen = `${Math.round(elapsedMs)} ms`;
  // Timers may fire a little early by another clock.
  if (minMs !== undefined && elapsedMs < minMs - 5) return [{ field: 'time', expected: `at least ${minMs} ms`, seen }];
  if (maxMs !== undefined && elapsedMs > maxMs) return [{ field: 'time', expected: `at most ${maxMs} ms`, seen }];
  return [];
}

function copyFailures(expected: NonNullable<Expectation['copies']>, copies: readonly ReceivedRequest[]): Failure[] {
  const pods = (names: readonly string[]) => [...names].sort().join(', ') || 'none';
  const seen = pods(copies.map(({ pod }) => pod));
  return [
    ...compare('copies', pods(Object.keys(expected)), seen),
    ...Object.entries(expected).flatMap(([pod, each]) => {
      const failures = requestFailures(
        each,
        copies.find((copy) => copy.pod === pod),
      );
      return failures.map((failure) => ({ ...failure, field: failure.field.replace('request', 'copy') }));
    }),
  ];
}

function failuresOf(expect: Expectation, { answer, received, copies, log }: Observation): Failure[] {
  const lines = Object.entries(expect.log).flatMap(([name, value]) => {
    return compare(`log ${name}`, value, (log as unknown as Record<string, string> | undefined)?.[name]);
  });
  return [
    ...compare('status', expect.status, answer.status),
    ...headerFailures('response', expect.headers, answer.headers),
    ...compare('body', expect.body, answer.body),
    ...compare('text', expect.text, answer.body),
    ...tlsFailures('response', expect.tls, answer.tls),
    ...(expect.upstream === undefined ? [] : upstreamFailures(expect.upstream, received)),
    ...(expect.received === undefined ? [] : requestFailures(expect.received, received.at(-1))),
    ...(expect.copies === undefined ? [] : copyFailures(expect.copies, copies)),
    ...compare('attempts', expect.attempts, received.length),
    ...lines,
    ...timeFailures(expect, answer.elapsedMs),
  ];
}

/** The pod that answered; of TCP, the one that greeted. */
export function answeredBy({ answer, received }: Observation): string {
  return received.at(-1)?.pod ?? /^hello from (.*)$/m.exec(answer.body)?.[1] ?? 'none';
}

/** So far from the expected number a fair choice is once in some two million; a run looks at hundreds. */
const DEVIATIONS = 5;

function distributionFailures(shares: Readonly<Record<string, number>>, observations: readonly Observation[]) {
  const counts = new Map<string, number>();
  for (const observation of observations) {
    const pod = answeredBy(observation);
    counts.set(pod, (counts.get(pod) ?? 0) + 1);
  }
  const total = observations.length;
  const failures: Failure[] = [];
  for (const pod of new Set([...Object.keys(shares), ...counts.keys()])) {
    const share = shares[pod] ?? 0;
    const count = counts.get(pod) ?? 0;
    const margin = DEVIATIONS * Math.sqrt(total * share * (1 - share));
    if (Math.abs(count - total * share) <= margin) continue;
    const expected = `${Math.round(total * share)} ± ${Math.round(margin)} of ${total}`;
    failures.push({ field: `share of ${pod}`, expected, seen: String(count) });
  }
  return failures;
}

/** Counts by status; an expected count is a number, or a range `1..3`. */
function statusFailures(expected: Readonly<Record<string, string>>, observations: readonly Observation[]): Failure[] {
  const seen: Record<string, number> = {};
  for (const { answer } of observations) seen[answer.status] = (seen[answer.status] ?? 0) + 1;
  return rangeFailures('answers with status', expected, seen);
}

/** Counts of things by name, each within its range; of what is not named there must be none. */
function rangeFailures(
  what: string,
  expected: Readonly<Record<string, string>>,
  seen: Readonly<Record<string, number>>,
): Failure[] {
  return [...new Set([...Object.keys(expected), ...Object.keys(seen)])].flatMap((name) => {
    const wanted = expected[name] ?? '0';
    const [least = '0', most = least] = wanted.split('..');
    const count = seen[name] ?? 0;
    if (count >= Number(least) && count <= Number(most)) return [];
    return [{ field: `${what} ${name}`, expected: wanted, seen: String(count) }];
  });
}

function copyCountFailures(
  expected: Readonly<Record<string, string>>,
  observations: readonly Observation[],
): Failure[] {
  const seen: Record<string, number> = {};
  for (const { pod } of observations.flatMap(({ copies }) => copies)) seen[pod] = (seen[pod] ?? 0) + 1;
  return rangeFailures('copies to', expected, seen);
}

const isElsewhereEachTime = (received: readonly ReceivedRequest[]): boolean =>
  received.every(({ pod }, index) => pod !== received[index - 1]?.pod);

function togetherFailures(together: Together, observations: readonly Observation[]): Failure[] {
  const { distribution, statuses, copies, connections, sameUpstream } = together;
  const requests = observations.flatMap(({ received }) => received);
  const answering = observations.map(answeredBy);
  const pods = new Set(answering);
  const counts = {
    repeats: answering.filter((pod, index) => pod === answering[index - 1]).length,
    atOnce: Math.max(0, ...requests.map((request) => request.atOnce)),
    retriedElsewhere: observations.filter(({ received }) => received.length > 1 && isElsewhereEachTime(received))
      .length,
  };
  const counted = (['repeats', 'atOnce', 'retriedElsewhere'] as const).flatMap((name) => {
    const expected = together[name];
    return expected === undefined ? [] : rangeFailures('count of', { [name]: expected }, { [name]: counts[name] });
  });
  return [
    ...(distribution === undefined ? [] : distributionFailures(distribution, observations)),
    ...(statuses === undefined ? [] : statusFailures(statuses, observations)),
    ...(copies === undefined ? [] : copyCountFailures(copies, observations)),
    ...counted,
    ...compare('connections', connections, new Set(requests.map(({ connection }) => connection)).size),
    ...(sameUpstream ? compare('upstreams', 1, pods.size) : []),
  ];
}

/** Everything about a request that is not as its case expects. */
export function check({ sending, observations }: SendingResult): readonly Failure[] {
  const each = observations.flatMap((observation) => failuresOf(sending.expect, observation));
  const whole = togetherFailures(sending.together, observations);
  // Of many alike one is enough.
  const first = new Map([...each, ...whole].reverse().map((failure) => [failure.field, failure]));
  return [...first.values()].reverse();
}

/** A failure in words. */
export function failureText({ name }: SendingOfCase, { field, expected, seen }: Failure): string {
  return `${name}: ${field} is ${seen}, not ${expected}`;
}
