// Authorization, chance: policies and calls of few words, so that many of them meet.

import type {
  AuthorizationCondition,
  AuthorizationOperation,
  AuthorizationPolicySpec,
  AuthorizationRule,
  AuthorizationSource,
  ConfigObject,
} from '@lateen/istio-config';
import type { CallFacts, MeshFacts } from './reference.js';

/** Numbers below 1, the same for the same seed (mulberry32). */
export type Random = () => number;

export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const MESH: MeshFacts = {
  rootNamespace: 'istio-system',
  trustDomain: 'mesh.example',
  trustDomainAliases: ['old.example'],
};

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
const chance = (random: Random, share: number) => random() < share;
const some = <T>(random: Random, list: readonly T[], most = 2): T[] =>
  Array.from({ length: 1 + Math.floor(random() * most) }, () => pick(random, list));

const DOMAINS = ['mesh.example', 'old.example', 'other.example'];
const NAMESPACES = ['a', 'ab', 'b', 'ns'];
const ACCOUNTS = ['web', 'web2', 'a.b', 'axb'];
const ADDRESSES = ['10.0.0.1', '10.0.1.1', '10.1.0.1', '192.168.0.9'];
const HOSTS = ['shop.example', 'Shop.Example', 'shop.example:80', 'a.shop.example', 'shop'];
const METHODS = ['GET', 'POST', 'PUT'];
const PATHS = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/a/b/c/d', '/b', '/ab', '/a/b.html', '/x/a/b', '/a/%20', '/a/[b'];
const NAMES = ['shop.example', 'a.shop.example', ''];
const ISSUERS = ['https://issuer.example/realm', 'issuer', 'https://issuer.example'];
const SUBJECTS = ['me', 'me2', 'you'];
const PORTS = [8080, 9090];
const HEADERS = ['v1', 'v2', 'v11', ''];
const GROUPS = ['admin', 'adm', 'dev'];

const VALUES: Readonly<Record<string, readonly string[]>> = {
  principals: [
    'cluster.local/ns/a/sa/web',
    'mesh.example/ns/a/sa/web',
    'old.example/ns/ab/sa/web',
    'other.example/ns/a/sa/web',
    '*',
    '*/ns/a/sa/web',
    '*/sa/web',
    '*/sa/a.b',
    '*.example/ns/b/sa/web',
    '*d.example/ns/b/sa/web',
    'cluster.local/ns/a/*',
    'mesh.example/ns/a*',
    'cluster.local/ns/a/sa/*',
    'cluster.local/ns/a/sa/web*',
    'web',
  ],
  requestPrincipals: [
    'issuer/me',
    'https://issuer.example/realm/me',
    'https://issuer.example/*',
    'https://issuer.example/realm/*',
    '*',
    '*/me',
    '*realm/me',
    '*me',
    'issuer*',
    'https*',
    'issuer/m*',
    'issuer',
    '*/*',
    'issuer/*x',
    'iss*/me',
  ],
  namespaces: ['a', 'b', 'a*', '*b', '*', 'ns', 'sa'],
  serviceAccounts: ['web', 'a/web', 'ab/web2', 'b/a.b', 'ns/web'],
  ipBlocks: ['10.0.0.1', '10.0.0.0/16', '10.0.0.0/8', '192.168.0.0/24', '0.0.0.0/0'],
  hosts: ['shop.example', 'SHOP.example', '*.example', 'shop*', '*', 'shop.example:80', '*:80', 'shop.example:*'],
  methods: ['GET', 'P*', '*T', '*', 'get'],
  paths: [
    '/a',
    '/a/*',
    '*/b',
    '*',
    '/a/{*}',
    '/a/{**}',
    '/{*}/b',
    '/{*}/{*}',
    '/{**}/b',
    '/a/{*}/{**}',
    '/{**}',
    '*.html',
    '/a*',
    '/',
  ],
  ports: ['8080', '9090', '80'],
};

function values(random: Random, of: string): string[] {
  return some(random, VALUES[of]!);
}

/** Some of the fields, positive or negative; at least one. */
function fields(
  random: Random,
  names: readonly (readonly [field: string, negative: string, of: string])[],
): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  while (Object.keys(found).length === 0) {
    for (const [field, negative, of] of names) {
      if (chance(random, 0.2)) found[field] = values(random, of);
      if (chance(random, 0.1)) found[negative] = values(random, of);
    }
  }
  return found;
}

function source(random: Random): AuthorizationSource {
  const byAccount = chance(random, 0.2);
  return fields(random, [
    ...(byAccount
      ? ([['serviceAccounts', 'notServiceAccounts', 'serviceAccounts']] as const)
      : ([
          ['principals', 'notPrincipals', 'principals'],
          ['namespaces', 'notNamespaces', 'namespaces'],
        ] as const)),
    ['requestPrincipals', 'notRequestPrincipals', 'requestPrincipals'],
    ['ipBlocks', 'notIpBlocks', 'ipBlocks'],
    ['remoteIpBlocks', 'notRemoteIpBlocks', 'ipBlocks'],
  ]);
}

function operation(random: Random): AuthorizationOperation {
  return fields(random, [
    ['hosts', 'notHosts', 'hosts'],
    ['methods', 'notMethods', 'methods'],
    ['paths', 'notPaths', 'paths'],
    ['ports', 'notPorts', 'ports'],
  ]);
}

const ATTRIBUTES: readonly (readonly [key: string, of: readonly string[]])[] = [
  ['request.headers[X-Version]', ['v1', 'v1*', '*1', '*', 'v2']],
  ['request.headers[x-none]', ['*', 'a']],
  ['source.ip', VALUES.ipBlocks!],
  ['remote.ip', VALUES.ipBlocks!],
  ['destination.ip', VALUES.ipBlocks!],
  ['source.namespace', VALUES.namespaces!],
  ['source.principal', VALUES.principals!],
  ['source.serviceAccount', VALUES.serviceAccounts!],
  ['request.auth.principal', VALUES.requestPrincipals!],
  ['request.auth.audiences', ['shop', 'shop*', '*', '*2']],
  ['request.auth.presenter', ['app', '*']],
  ['request.auth.claims[groups]', ['admin', 'adm*', '*v', '*']],
  ['request.auth.claims[org][unit]', ['sales', '*']],
  ['request.auth.claims[org.unit]', ['dotted']],
  ['destination.port', VALUES.ports!],
  ['connection.sni', ['shop.example', '*.example', 'shop*', '*']],
];

function condition(random: Random): AuthorizationCondition {
  const [key, of] = pick(random, ATTRIBUTES);
  const isPositive = chance(random, 0.6);
  return {
    key,
    ...(isPositive && { values: some(random, of) }),
    ...((!isPositive || chance(random, 0.2)) && { notValues: some(random, of) }),
  };
}

function rule(random: Random): AuthorizationRule {
  return {
    ...(chance(random, 0.6) && { from: some(random, [0, 0]).map(() => ({ source: source(random) })) }),
    ...(chance(random, 0.6) && { to: some(random, [0, 0]).map(() => ({ operation: operation(random) })) }),
    ...(chance(random, 0.4) && { when: some(random, [0, 0]).map(() => condition(random)) }),
  };
}

export const WORKLOAD = { namespace: 'shop', labels: { app: 'shop', version: 'v1' } } as const;

const SELECTORS: readonly (Record<string, string> | undefined)[] = [
  undefined,
  undefined,
  { app: 'shop' },
  { app: 'other' },
  { app: 'shop', version: 'v1' },
];

/** A few policies, of which most are for the workload. */
export function randomPolicies(random: Random): ConfigObject<'AuthorizationPolicy'>[] {
  return Array.from({ length: 1 + Math.floor(random() * 4) }, (_, index) => {
    const action = pick(random, ['ALLOW', 'ALLOW', 'DENY', 'DENY', 'AUDIT', undefined] as const);
    const rules = chance(random, 0.1) && action !== 'DENY' ? undefined : some(random, [0], 3).map(() => rule(random));
    const selector = pick(random, SELECTORS);
    const annotations: Record<string, string> = chance(random, 0.1) ? { 'istio.io/dry-run': 'true' } : {};
    const spec: AuthorizationPolicySpec = {
      ...(action !== undefined && { action }),
      ...(rules !== undefined && { rules }),
      ...(selector !== undefined && { selector: { matchLabels: selector } }),
    };
    return {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: {
        name: `policy-${index}`,
        namespace: pick(random, ['shop', 'shop', 'istio-system', 'elsewhere']),
        labels: {},
        annotations,
      },
      spec,
      source: { file: 'random.yaml', line: 1, column: 1 },
    };
  });
}

function claims(random: Random): Record<string, unknown> {
  const oneOrMany = (list: readonly string[]) => (chance(random, 0.5) ? pick(random, list) : some(random, list));
  return {
    iss: pick(random, ISSUERS),
    ...(chance(random, 0.9) && { sub: pick(random, SUBJECTS) }),
    ...(chance(random, 0.7) && { aud: oneOrMany(['shop', 'shop2', 'other']) }),
    ...(chance(random, 0.3) && { azp: pick(random, ['app', 'web']) }),
    ...(chance(random, 0.6) && { groups: oneOrMany(GROUPS) }),
    ...(chance(random, 0.3) && { org: { unit: oneOrMany(['sales', 'law']) } }),
    ...(chance(random, 0.2) && { 'org.unit': 'dotted' }),
    ...(chance(random, 0.1) && { groups: 7 }),
  };
}

/** A call to the workload; a quarter of them are connections without a request. */
export function randomCall(random: Random): CallFacts {
  const principal = `${pick(random, DOMAINS)}/ns/${pick(random, NAMESPACES)}/sa/${pick(random, ACCOUNTS)}`;
  const sourceIp = pick(random, ADDRESSES);
  const isTcp = chance(random, 0.25);
  const version = some(random, HEADERS);
  return {
    principal: chance(random, 0.8) ? principal : undefined,
    sourceIp,
    // Only requests tell of somebody behind the peer.
    remoteIp: isTcp || chance(random, 0.7) ? sourceIp : pick(random, ADDRESSES),
    destinationIp: pick(random, ADDRESSES),
    destinationPort: pick(random, PORTS),
    serverName: pick(random, NAMES),
    request: isTcp
      ? undefined
      : {
          method: pick(random, METHODS),
          host: pick(random, HOSTS),
          path: pick(random, PATHS) + (chance(random, 0.2) ? '?q=/a/b' : ''),
          headers: chance(random, 0.6) ? { 'x-version': version } : {},
          claims: chance(random, 0.6) ? claims(random) : undefined,
        },
  };
}
