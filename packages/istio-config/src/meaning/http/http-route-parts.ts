// Meaning of the parts of an HTTP rule that stand beside forwarding: faults, mirrors, CORS.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { nearestWord } from '../../declare/suggest.js';
import { parseDurationMs } from '../../duration.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { FieldPath } from '../../problem.js';
import { checkDestination } from '../fields/destination.js';
import { present } from '../rule.js';

type Rule = Loose<HttpRoute>;

/** The names of gRPC's status codes (its statuscodes.md). */
/** Statuses of gRPC, each at the place that is its number. */
export const GRPC_STATUSES: readonly string[] = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
];

/** Faults on purpose: something to do, and how often. */
export function checkFault(fault: Rule['fault'], path: FieldPath, faults: FaultList): void {
  if (!fault) return;
  if (!('delay' in fault) && !('abort' in fault)) {
    faults.error(path, 'required', 'the fault does nothing; add `delay` or `abort`');
  }
  checkDelay(fault.delay, [...path, 'delay'], faults);
  checkAbort(fault.abort, [...path, 'abort'], faults);
}

function checkDelay(delay: NonNullable<Rule['fault']>['delay'], path: FieldPath, faults: FaultList): void {
  if (!delay) return;
  if (!('fixedDelay' in delay) && !('exponentialDelay' in delay)) {
    faults.warning(path, 'required', 'the delay has no length, so nothing is delayed; add `fixedDelay`');
  }
  if ('exponentialDelay' in delay) {
    const message = '`exponentialDelay` is implemented nowhere; write `fixedDelay`';
    faults.error([...path, 'exponentialDelay'], 'enum', message, 'key');
  }
  if ('percent' in delay) {
    faults.warning([...path, 'percent'], 'deprecated', '`percent` is deprecated; write `percentage.value`', 'key');
  }
  checkShare(delay.percentage, [...path, 'percentage'], faults);
}

function checkAbort(abort: NonNullable<Rule['fault']>['abort'], path: FieldPath, faults: FaultList): void {
  if (!abort) return;
  const { grpcStatus } = abort;
  if (!('httpStatus' in abort) && !('grpcStatus' in abort) && !('http2Error' in abort)) {
    faults.warning(path, 'required', 'the abort has no status, so nothing is aborted; add `httpStatus`');
  }
  if ('http2Error' in abort) {
    const message = '`http2Error` is implemented nowhere; write `httpStatus` or `grpcStatus`';
    faults.error([...path, 'http2Error'], 'enum', message, 'key');
  }
  if (grpcStatus !== undefined && !GRPC_STATUSES.includes(grpcStatus)) {
    const nearest = nearestWord(grpcStatus, GRPC_STATUSES);
    const advice = nearest ? `did you mean \`${nearest}\`?` : 'write a name such as UNAVAILABLE';
    faults.error([...path, 'grpcStatus'], 'enum', `\`${grpcStatus}\` is not a status of gRPC; ${advice}`);
  }
  checkShare(abort.percentage, [...path, 'percentage'], faults);
}

/** A millionth is the finest share that a proxy can pick. */
function checkShare(
  percentage: { readonly value?: number | undefined } | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  const value = percentage?.value ?? 0;
  if (value === 0 || value >= 0.0001) return;
  faults.error([...path, 'value'], 'range', `${value} percent is too fine; write 0, or 0.0001 or more`);
}

/** Mirrors: one way of writing them. */
export function checkMirror(rule: Rule, path: FieldPath, faults: FaultList): void {
  if ('mirror' in rule && 'mirrors' in rule && rule.mirrors?.length !== 0) {
    faults.error([...path, 'mirror'], 'one-of', '`mirror` and `mirrors` exclude each other; use `mirrors`', 'key');
  }
  for (const field of ['mirrorPercent', 'mirror_percent'] as const) {
    if (!(field in rule)) continue;
    const message = `\`${field}\` is deprecated; write \`mirrorPercentage.value\``;
    faults.warning([...path, field], 'deprecated', message, 'key');
  }
  if ('mirrorPercentage' in rule && !('mirror' in rule)) {
    const message = '`mirrorPercentage` has no effect without `mirror`; add it, or write the percentage in `mirrors`';
    faults.warning([...path, 'mirrorPercentage'], 'no-effect', message, 'key');
  }
  checkDestination(rule.mirror, [...path, 'mirror'], faults);
  for (const [index, { destination }] of present(rule.mirrors)) {
    checkDestination(destination, [...path, 'mirrors', index, 'destination'], faults);
  }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT'];

/** CORS: one way of writing origins; methods that there are; an age in whole seconds. */
export function checkCors(cors: Rule['corsPolicy'], path: FieldPath, faults: FaultList): void {
  if (!cors) return;
  if ('allowOrigin' in cors) {
    faults.warning([...path, 'allowOrigin'], 'deprecated', '`allowOrigin` is deprecated; write `allowOrigins`', 'key');
  }
  for (const [index, origin] of present(cors.allowOrigins)) {
    const [kind] = Object.keys(origin);
    if (kind !== undefined && !Object.values(origin).includes('')) continue;
    const at = [...path, 'allowOrigins', index, ...(kind === undefined ? [] : [kind])];
    faults.error(at, 'empty-match', 'the origin says nothing to match; write one such as exact: https://example.com');
  }
  for (const [index, method] of present(cors.allowMethods)) {
    if (METHODS.includes(method)) continue;
    const nearest = nearestWord(method, METHODS);
    const advice = nearest ? `did you mean \`${nearest}\`?` : `write one of ${METHODS.join(', ')}`;
    faults.error([...path, 'allowMethods', index], 'enum', `\`${method}\` is not a method; ${advice}`);
  }
  const maxAge = cors.maxAge === undefined ? undefined : parseDurationMs(cors.maxAge);
  if (maxAge !== undefined && (maxAge < 1000 || maxAge % 1000 !== 0)) {
    faults.error([...path, 'maxAge'], 'range', `\`${cors.maxAge}\` is not a number of whole seconds; write 1s or more`);
  }
}
