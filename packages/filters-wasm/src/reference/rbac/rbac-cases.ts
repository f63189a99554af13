// Tests: random access rules and requests, of few values, so that they often meet.
import type { JsonObject } from '@bufbuild/protobuf';
import type { RuledRequest } from './reference-rbac.js';

/** A generator of random numbers below a bound, repeatable by its seed. */
export type Dice = (below: number) => number;

export function createDice(seed: number): Dice {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const PATHS = [
  '/',
  '/a',
  '/a/b',
  '/A',
  '/api/v1/users',
  '/api/v1/users/7',
  '/api/v2',
  '/admin',
  '/admin/x.css',
  '/public/index.html',
];
const METHODS = ['GET', 'POST', 'PUT', 'DELETE'];
const HOSTS = ['a.example', 'b.example', 'B.example', 'b.example:8080', 'api.b.example', 'localhost'];
const NAMES = ['x-role', 'x-team', 'x-count', 'x-empty', 'x-forwarded-for'];
const VALUES = ['admin', 'user', 'Admin', '', '1', '7', '42', 'admin,user', 'team-a'];
const PRINCIPALS = [
  'spiffe://cluster.local/ns/a/sa/one',
  'spiffe://cluster.local/ns/a/sa/two',
  'spiffe://cluster.local/ns/b/sa/one',
  'spiffe://td/ns/a/sa/one',
];
const SPIFFE_PATHS = ['a/.*', 'b/.*', 'a/sa/one', 'a/sa/o\\.e', 'a/sa/.*'];
const DNS = ['one.example', 'CN=one', ''];
const ADDRESSES = ['127.0.0.1', '10.0.0.1', '10.1.2.3', '192.168.7.9', '::1', '2001:db8::7', '2001:db8:1::7'];
const NETWORKS: readonly (readonly [string, number])[] = [
  ['127.0.0.1', 32],
  ['10.0.0.0', 8],
  ['10.1.0.0', 16],
  ['0.0.0.0', 0],
  ['192.168.7.8', 29],
  ['::', 0],
  ['2001:db8::', 32],
  ['2001:db8::', 48],
  ['::1', 128],
];
const CLAIMS = ['admin', 'user', 'reader', 'a@b'];
const JWT = 'envoy.filters.http.jwt_authn';

function pick<T>(dice: Dice, from: readonly T[]): T {
  return from[dice(from.length)]!;
}

function text(dice: Dice, values: readonly string[]): JsonObject {
  const value = pick(dice, values);
  const part = value.slice(0, 1 + dice(Math.max(1, value.length))) || 'a';
  const ignoreCase = dice(4) === 0;
  switch (dice(8)) {
    case 0:
      return { prefix: part, ignoreCase };
    case 1:
      return { suffix: value.slice(-1 - dice(4)) || 'a', ignoreCase };
    case 2:
      return { contains: part, ignoreCase };
    case 3:
      if (dice(8) > 0) return { exact: value, ignoreCase };
      return { safeRegex: { regex: `${value.replaceAll(/[^a-zA-Z0-9]/g, '.')}.*` } };
    default:
      return { exact: value, ignoreCase };
  }
}

function header(dice: Dice): JsonObject {
  const invertMatch = dice(5) === 0;
  const treatMissingHeaderAsEmpty = dice(6) === 0;
  switch (dice(8)) {
    case 7:
      return { name: 'x-forwarded-proto', stringMatch: text(dice, ['http', 'https']), invertMatch };
    case 0:
      return { name: ':method', stringMatch: text(dice, METHODS), invertMatch };
    case 1:
      return { name: dice(2) === 0 ? ':authority' : 'host', stringMatch: text(dice, HOSTS), invertMatch };
    case 2:
      return { name: ':path', stringMatch: text(dice, PATHS) };
    case 3:
      return { name: pick(dice, NAMES), presentMatch: dice(3) > 0, invertMatch };
    case 4:
      return { name: 'x-count', rangeMatch: { start: '0', end: '40' }, invertMatch };
    default:
      return { name: pick(dice, NAMES), stringMatch: text(dice, VALUES), invertMatch, treatMissingHeaderAsEmpty };
  }
}

function network(dice: Dice): JsonObject {
  const [addressPrefix, prefixLen] = pick(dice, NETWORKS);
  return { addressPrefix, prefixLen };
}

function claim(dice: Dice): JsonObject {
  const invert = dice(6) === 0;
  const path = pick(dice, [
    ['payload', 'iss'],
    ['payload', 'groups'],
    ['payload', 'deep', 'x'],
    ['payload', 'none'],
  ]).map((key) => ({ key }));
  const stringMatch = text(dice, CLAIMS);
  const value = pick<JsonObject>(dice, [
    { stringMatch },
    { listMatch: { oneOf: { stringMatch } } },
    { orMatch: { valueMatchers: [{ stringMatch }, { listMatch: { oneOf: { stringMatch } } }] } },
    { presentMatch: true },
  ]);
  return { filter: JWT, path, value, invert };
}

function permission(dice: Dice, depth: number): JsonObject {
  const parts = () => ({ rules: Array.from({ length: 1 + dice(4) }, () => permission(dice, depth + 1)) });
  switch (dice(depth < 3 ? 12 : 8) + (depth === 0 ? 1 : 0)) {
    case 0:
      return dice(4) === 0 ? { any: true } : { urlPath: { path: text(dice, PATHS) } };
    case 1:
    case 2:
      return { urlPath: { path: text(dice, PATHS) } };
    case 3:
    case 4:
      return { header: header(dice) };
    case 5:
      return { destinationIp: network(dice) };
    case 6:
      return dice(2) === 0
        ? { destinationPort: pick(dice, [80, 8080]) }
        : { destinationPortRange: { start: 80, end: 443 } };
    case 7:
      return dice(2) === 0 ? { metadata: claim(dice) } : { requestedServerName: text(dice, HOSTS) };
    case 8:
    case 9:
      return { andRules: parts() };
    case 10:
      return { notRule: permission(dice, depth + 1) };
    default:
      return { orRules: parts() };
  }
}

function principal(dice: Dice, depth: number): JsonObject {
  const parts = () => ({ ids: Array.from({ length: 1 + dice(4) }, () => principal(dice, depth + 1)) });
  switch (dice(depth < 3 ? 12 : 8) + (depth === 0 ? 1 : 0)) {
    case 0:
      return dice(4) === 0 ? { any: true } : { authenticated: {} };
    case 1:
    case 2:
      if (dice(4) === 0) {
        return {
          authenticated: { principalName: { safeRegex: { regex: `spiffe://[^/]+/ns/${pick(dice, SPIFFE_PATHS)}` } } },
        };
      }
      return { authenticated: { principalName: text(dice, [...PRINCIPALS, ...DNS]) } };
    case 3:
      return { remoteIp: network(dice) };
    case 4:
      return dice(2) === 0 ? { directRemoteIp: network(dice) } : { sourceIp: network(dice) };
    case 5:
      return { header: header(dice) };
    case 6:
      return { metadata: claim(dice) };
    case 7:
      return dice(2) === 0
        ? { urlPath: { path: text(dice, PATHS) } }
        : { filterState: { key: 'io.istio.peer_principal', stringMatch: text(dice, PRINCIPALS) } };
    case 8:
    case 9:
      return { andIds: parts() };
    case 10:
      return { notId: principal(dice, depth + 1) };
    default:
      return { orIds: parts() };
  }
}

/** Rules as JSON of envoy.config.rbac.v3.RBAC. */
export function randomRules(dice: Dice): JsonObject {
  const policies: Record<string, JsonObject> = {};
  for (let left = 1 + dice(dice(4) === 0 ? 150 : 8); left > 0; left--) {
    policies[`p-${dice(100_000)}`] = {
      permissions: Array.from({ length: 1 + dice(3) }, () => permission(dice, 0)),
      principals: Array.from({ length: 1 + dice(3) }, () => principal(dice, 0)),
    };
  }
  return { action: 'DENY', policies };
}

export function randomRequest(dice: Dice): RuledRequest {
  const tls = dice(4) > 0;
  const principalName = tls && dice(4) > 0 ? pick(dice, PRINCIPALS) : '';
  const forwarded = dice(3) === 0 ? pick(dice, ADDRESSES) : '';
  const headers: (readonly [string, string])[] = Array.from({ length: dice(5) }, () => [
    pick(dice, NAMES.slice(0, 4)),
    pick(dice, VALUES),
  ]);
  if (dice(4) === 0) headers.push(['x-forwarded-proto', pick(dice, ['http', 'https'])]);
  if (forwarded !== '') headers.push(['x-forwarded-for', dice(2) === 0 ? forwarded : `10.9.9.9, ${forwarded}`]);
  const directAddress = pick(dice, ADDRESSES);
  const groups = Array.from({ length: dice(3) }, () => pick(dice, CLAIMS));
  return {
    method: pick(dice, METHODS),
    path: `${pick(dice, PATHS)}${pick(dice, ['', '', '?a=1', '?/admin'])}`,
    authority: pick(dice, HOSTS),
    headers,
    tls,
    names: tls ? [...(principalName === '' ? [] : [principalName]), pick(dice, DNS)] : [],
    principal: principalName,
    serverName: tls ? pick(dice, HOSTS) : '',
    directAddress,
    remoteAddress: forwarded === '' ? directAddress : forwarded,
    localAddress: pick(dice, ADDRESSES),
    localPort: pick(dice, [80, 443, 8080]),
    claims: dice(2) === 0 ? {} : { payload: { iss: pick(dice, CLAIMS), groups, deep: { x: pick(dice, CLAIMS) } } },
  };
}
