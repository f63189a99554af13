// Meaning of the answers that a rule gives in place of forwarding: redirects and fixed responses.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { dnsNameFault, isIpAddress } from '../../declare/formats.js';
import type { HttpRoute } from '../../kinds/fields/http-route.js';
import type { FieldPath } from '../../problem.js';

const KIB = 1024;
/** Istio's limits on a fixed body, which is part of every proxy's configuration: where it warns, and where it refuses. */
const WARN_BODY_BYTES = 100 * KIB;
const MAX_BODY_BYTES = KIB * KIB;
/** Lateen's own limit for now. */
const SUPPORTED_BODY_BYTES = 256 * KIB;

const REDIRECT_CODES = [301, 302, 303, 307, 308];

/** Checks `redirect` and `directResponse`. */
export function checkAnswer(rule: Loose<HttpRoute>, path: FieldPath, faults: FaultList): void {
  checkRedirect(rule.redirect, [...path, 'redirect'], faults);
  const { directResponse } = rule;
  if (!directResponse) return;
  const { status } = directResponse;
  if (status !== undefined && (status < 200 || status > 599)) {
    faults.error([...path, 'directResponse', 'status'], 'range', `${status} is not a final status; write 200 to 599`);
  }
  checkBody(directResponse.body, [...path, 'directResponse', 'body'], faults);
}

function checkRedirect(redirect: Loose<HttpRoute>['redirect'], path: FieldPath, faults: FaultList): void {
  if (!redirect) return;
  const { redirectCode, scheme, authority } = redirect;
  if (Object.keys(redirect).every((field) => field === 'redirectCode' || field === 'derivePort')) {
    faults.error(path, 'required', 'the redirect leads to the same place; add `uri`, `authority`, `scheme` or `port`');
  }
  if (redirectCode && (redirectCode < 300 || redirectCode > 399)) {
    const message = `${redirectCode} is not a redirect; write one of ${REDIRECT_CODES.join(', ')}`;
    faults.error([...path, 'redirectCode'], 'range', message);
  } else if (redirectCode && !REDIRECT_CODES.includes(redirectCode)) {
    const message = `a redirect with ${redirectCode} is not supported; write one of ${REDIRECT_CODES.join(', ')}`;
    faults.error([...path, 'redirectCode'], 'unsupported', message);
  }
  if (scheme && scheme !== 'http' && scheme !== 'https') {
    faults.error([...path, 'scheme'], 'enum', `\`${scheme}\` is not a scheme that can be used; write http or https`);
  }
  checkAuthority(authority, [...path, 'authority'], faults);
}

type Body = NonNullable<Loose<HttpRoute>['directResponse']>['body'];

function checkBody(body: Body, path: FieldPath, faults: FaultList): void {
  const field = body?.bytes === undefined ? 'string' : 'bytes';
  const text = body?.[field];
  if (text === undefined) return;
  if (field === 'bytes' && !/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) {
    faults.error([...path, field], 'format', '`bytes` is not base64; encode it, or use `string`');
    return;
  }
  // Three bytes are four letters of base64.
  const length = field === 'bytes' ? Math.floor((text.replace(/=+$/, '').length * 3) / 4) : byteLength(text);
  const advice = 'serve it from a service';
  if (length > MAX_BODY_BYTES) {
    faults.error([...path, field], 'range', `the body has ${length} bytes, more than ${MAX_BODY_BYTES}; ${advice}`);
  } else if (length > SUPPORTED_BODY_BYTES) {
    const message = `a body of ${length} bytes is not supported, ${SUPPORTED_BODY_BYTES} are; ${advice}`;
    faults.error([...path, field], 'unsupported', message);
  } else if (length > WARN_BODY_BYTES) {
    const message = `the body of ${length} bytes becomes part of every proxy's configuration; better ${advice}`;
    faults.warning([...path, field], 'range', message);
  }
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** A host that is written into a request or an answer: a name or an address, perhaps with a port. */
export function checkAuthority(authority: string | undefined, path: FieldPath, faults: FaultList): void {
  if (authority === undefined) return;
  if (authority === '') {
    faults.error(path, 'host', '`authority` is empty; write a host or remove it');
    return;
  }
  const parts = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/i.exec(authority);
  const host = parts?.[1];
  const isHost = host && (host.startsWith('[') || isIpAddress(host) || dnsNameFault(host) === undefined);
  if (isHost && Number(parts?.[2] ?? 1) <= 65_535) return;
  faults.error(path, 'host', `\`${authority}\` is not a host; write NAME or NAME:PORT`);
}
