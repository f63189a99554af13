// Meaning of the parts of an HTTP rule: redirect, direct response, rewrite, retries, faults, mirrors, CORS.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { dnsNameFault } from '../declare/formats.js';
import { nearestWord } from '../declare/suggest.js';
import { parseDurationMs } from '../duration.js';
import type { HttpRoute } from '../kinds/fields/http-route.js';
import type { FieldPath } from '../problem.js';
import {
  isRetryCondition,
  isStatusCode,
  isSupportedRetryCondition,
  MAX_RETRY_CODES,
  RETRY_CONDITIONS,
} from './retry-conditions.js';
import { present } from './rule.js';

type Rule = Loose<HttpRoute>;

/** A direct response is part of every proxy's configuration (Istio's own limit is 1 MiB). */
const MAX_BODY_LENGTH = 256 * 1024;

const REDIRECT_CODES = [301, 302, 303, 307, 308];

/** Answers that are given in place of forwarding. */
export function checkAnswer({ redirect, directResponse }: Rule, path: FieldPath, faults: FaultList): void {
  if (redirect) {
    const at = [...path, 'redirect'];
    const { redirectCode, scheme, authority } = redirect;
    if (Object.keys(redirect).every((field) => field === 'redirectCode')) {
      faults.error(at, 'required', 'the redirect leads to the same place; add `uri`, `authority`, `scheme` or `port`');
    }
    if (redirectCode !== undefined && !REDIRECT_CODES.includes(redirectCode)) {
      const message = `${redirectCode} is not a redirect; write one of ${REDIRECT_CODES.join(', ')}`;
      faults.error([...at, 'redirectCode'], 'range', message);
    }
    if (scheme !== undefined && scheme !== 'http' && scheme !== 'https') {
      faults.error([...at, 'scheme'], 'enum', `\`${scheme}\` is not a scheme that can be used; write http or https`);
    }
    checkAuthority(authority, [...at, 'authority'], faults);
  }
  const text = directResponse?.body?.string;
  if (text !== undefined && text.length > MAX_BODY_LENGTH) {
    const message = `the body has ${text.length} characters, more than ${MAX_BODY_LENGTH}; serve it from a service`;
    faults.error([...path, 'directResponse', 'body', 'string'], 'range', message);
  }
  const status = directResponse?.status;
  if (status !== undefined && (status < 200 || status > 599)) {
    faults.error([...path, 'directResponse', 'status'], 'range', `${status} is not a final status; write 200 to 599`);
  }
  const bytes = directResponse?.body?.bytes;
  if (bytes !== undefined && !/^[A-Za-z0-9+/_-]*={0,2}$/.test(bytes)) {
    faults.error(
      [...path, 'directResponse', 'body', 'bytes'],
      'format',
      '`bytes` is not base64; encode it, or use `string`',
    );
  }
}

function checkAuthority(authority: string | undefined, path: FieldPath, faults: FaultList): void {
  if (authority === undefined) return;
  if (authority === '') {
    faults.error(path, 'host', '`authority` is empty; write a host or remove it');
    return;
  }
  const parts = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(authority);
  const host = parts?.[1];
  const bad = !host || (!host.startsWith('[') && dnsNameFault(host) !== undefined) || Number(parts[2] ?? 1) > 65_535;
  if (bad) faults.error(path, 'host', `\`${authority}\` is not a host; write NAME or NAME:PORT`);
}

/** Rewrites: something to rewrite, and only one place that sets the authority. */
export function checkRewrite({ rewrite, headers, match }: Rule, path: FieldPath, faults: FaultList): void {
  if (!rewrite) return;
  const at = [...path, 'rewrite'];
  if (Object.keys(rewrite).length === 0 || rewrite.uri === '') {
    faults.error(at, 'required', 'the rewrite changes nothing; add `uri` or `authority`, or remove it');
  }
  checkAuthority(rewrite.authority, [...at, 'authority'], faults);
  if (rewrite.uri && !rewrite.uri.startsWith('/')) {
    faults.error([...at, 'uri'], 'path', `\`${rewrite.uri}\` is not a path; begin it with \`/\``);
  }
  if (rewrite.uri !== undefined && match?.some((one) => one?.uri && 'regex' in one.uri)) {
    const message = '`uri` cannot take the place of a regular expression; use `uriRegexRewrite`';
    faults.error([...at, 'uri'], 'one-of', message);
  }
  const request = headers?.request;
  if (rewrite.authority === undefined) return;
  for (const field of ['set', 'add'] as const) {
    for (const name of Object.keys(request?.[field] ?? {})) {
      if (!isAuthorityHeader(name)) continue;
      const message = `\`${name}\` and rewrite.authority both set the host; keep one`;
      faults.error([...path, 'headers', 'request', field, name], 'one-of', message, 'key');
    }
  }
}

/** Host, by either of its names. */
export function isAuthorityHeader(name: string): boolean {
  const lower = name.toLowerCase();
  return lower === ':authority' || lower === 'host';
}

/** Retries: known conditions, sensible limits. */
export function checkRetries({ retries, timeout }: Rule, path: FieldPath, faults: FaultList): void {
  if (!retries) return;
  const at = [...path, 'retries'];
  const { attempts, perTryTimeout, retryOn, backoff } = retries;
  if (attempts === 0 && (perTryTimeout !== undefined || retryOn !== undefined || backoff !== undefined)) {
    const message =
      'with 0 attempts nothing is tried again, but there are other settings; remove them, or raise `attempts`';
    faults.error([...at, 'attempts'], 'range', message);
  }
  const whole = timeout === undefined ? undefined : parseDurationMs(timeout);
  const each = perTryTimeout === undefined ? undefined : parseDurationMs(perTryTimeout);
  if (whole !== undefined && each !== undefined && each > whole) {
    const message = `\`perTryTimeout\` is longer than the \`timeout\` of the rule (${timeout}); make it shorter`;
    faults.warning([...at, 'perTryTimeout'], 'range', message);
  }
  if (retryOn !== undefined) checkRetryOn(retryOn, [...at, 'retryOn'], faults);
}

function checkRetryOn(retryOn: string, path: FieldPath, faults: FaultList): void {
  const words = retryOn.split(',').map((part) => part.trim());
  if (new Set(words.filter(isStatusCode)).size > MAX_RETRY_CODES) {
    const message = `more than ${MAX_RETRY_CODES} status codes are not supported yet; write fewer, or 5xx or retriable-4xx`;
    faults.error(path, 'unsupported', message);
  }
  for (const word of words) {
    if (isRetryCondition(word)) {
      if (!isSupportedRetryCondition(word))
        faults.error(path, 'unsupported', `\`${word}\` is not supported yet; remove it`);
      continue;
    }
    const nearest = nearestWord(word, RETRY_CONDITIONS);
    const advice = nearest
      ? `did you mean \`${nearest}\`?`
      : `write some of ${RETRY_CONDITIONS.join(', ')} or status codes`;
    faults.error(path, 'retry-on', `\`${word}\` is not a condition for a retry; ${advice}`);
  }
}

/** Faults on purpose: something to do, and how often. */
export function checkFault(fault: Rule['fault'], path: FieldPath, faults: FaultList): void {
  if (fault && !('delay' in fault) && !('abort' in fault)) {
    faults.error(path, 'required', 'the fault does nothing; add `delay` or `abort`');
  }
  const old = fault?.delay && 'percent' in fault.delay;
  if (old) {
    faults.warning(
      [...path, 'delay', 'percent'],
      'deprecated',
      '`percent` is deprecated; write `percentage.value`',
      'key',
    );
  }
}

/** Mirrors: one way of writing them. */
export function checkMirror(rule: Rule, path: FieldPath, faults: FaultList): void {
  if ('mirror' in rule && 'mirrors' in rule) {
    faults.error([...path, 'mirror'], 'one-of', '`mirror` and `mirrors` exclude each other; use `mirrors`', 'key');
  }
  for (const field of ['mirrorPercent', 'mirror_percent'] as const) {
    if (!(field in rule)) continue;
    const message = `\`${field}\` is deprecated; write \`mirrorPercentage.value\``;
    faults.warning([...path, field], 'deprecated', message, 'key');
  }
  if ('mirrorPercentage' in rule && !('mirror' in rule)) {
    const message = '`mirrorPercentage` needs `mirror`; add it, or write the percentage in `mirrors`';
    faults.error([...path, 'mirrorPercentage'], 'required', message, 'key');
  }
}

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', '*'];

/** CORS: one way of writing origins; methods that there are. */
export function checkCors(cors: Rule['corsPolicy'], path: FieldPath, faults: FaultList): void {
  if (!cors) return;
  if ('allowOrigin' in cors) {
    faults.warning([...path, 'allowOrigin'], 'deprecated', '`allowOrigin` is deprecated; write `allowOrigins`', 'key');
  }
  for (const [index, method] of present(cors.allowMethods)) {
    if (METHODS.includes(method)) continue;
    const nearest = nearestWord(method, METHODS);
    const advice = nearest ? `did you mean \`${nearest}\`?` : `write one of ${METHODS.join(', ')}`;
    faults.error([...path, 'allowMethods', index], 'enum', `\`${method}\` is not a method; ${advice}`);
  }
}
