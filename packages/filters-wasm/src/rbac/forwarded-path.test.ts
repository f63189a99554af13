// Property test: in every mode of path normalization a rule decides about exactly the bytes that are forwarded.
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RBACSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ProblemList } from '../compile/problems.js';
import { compileRules } from '../compile/rbac/compile-rules.js';
import * as L from '../layout.js';
import { createTestCore } from '../reference/test-core.js';
import { createTables } from '../tables.js';
import { RBAC_NO_MATCH } from './rbac-layout.js';

const RUNS = Number(process.env.LATEEN_PROPERTY_RUNS ?? 3000);
const { core, wasm, options, put } = createTestCore();

/** MeshConfig's words, and what they are to a listener. */
const MODES = Object.entries({
  NONE: options({ normalizePath: false }),
  BASE: options(),
  MERGE_SLASHES: options({ mergeSlashes: true }),
  DECODE_AND_MERGE_SLASHES: options({ mergeSlashes: true, escapedSlashes: 'unescape' }),
});

/** A rule about paths, and the same in plain words. */
const RULES = (
  [
    [{ exact: '/admin' }, (path) => path === '/admin'],
    [{ prefix: '/admin/' }, (path) => path.startsWith('/admin/')],
    [{ suffix: '/secret' }, (path) => path.endsWith('/secret')],
    [{ contains: '..' }, (path) => path.includes('..')],
    [{ safeRegex: { regex: '.*(//|%2[fF]|[\\\\]).*' } }, (path) => /\/\/|%2f|\\/i.test(path)],
  ] as const satisfies readonly (readonly [JsonObject, (path: string) => boolean])[]
).map(([path, matches]) => {
  const policies = { p: { permissions: [{ urlPath: { path } }], principals: [{ any: true }] } };
  const message = fromJson(RBACSchema, { policies } as JsonObject, { registry: xdsRegistry });
  const { bytes } = compileRules(new ProblemList('Listener', 'l'), 'rules', message, 'http', core.rulesHash);
  return { place: core.rbac.intern(bytes, 0)!, matches, text: JSON.stringify(path) };
});

const tables = createTables(core);
const toCluster = { name: 'v', domains: ['*'], routes: [{ match: { prefix: '' }, route: { cluster: 'c' } }] };
const config = fromJson(RouteConfigurationSchema, { name: 'c', virtualHosts: [toCluster] });
expect(tables.compile({ routeConfigurations: [config], clusters: [], nowMs: 0 })).toMatchObject({ ok: true });
tables.activate();

const peer = { localAddress: '127.0.0.1', localPort: 80, serverName: '', names: [] };
const connection = core.connections.create({
  remoteAddress: '127.0.0.1',
  tls: false,
  mutualTls: false,
  xfcc: '',
  peer,
});

/** Which rules match, and what would go upstream; undefined where the request is refused. */
function decided(target: string, listener: number): { matching: string[]; forwarded: string } | undefined {
  const length = put(`GET ${target} HTTP/1.1\r\nhost: a\r\n\r\n`);
  if (wasm.parseRequest(L.READ_BUFFER, length, 0, listener, 0) !== length) return undefined;
  const matching = RULES.filter(
    ({ place }) => wasm.checkRules(place.offset, place.serial, listener, connection, 0) !== RBAC_NO_MATCH,
  ).map(({ text }) => text);
  wasm.route(tables.routeConfigSlot('c'), -1, 0);
  const written = wasm.writeUpstreamHead(L.OUTPUT_RING, 65536, listener, 0, 0);
  return { matching, forwarded: core.text(L.OUTPUT_RING, written).split(' ')[1]! };
}

const pieces = fc.constantFrom(
  ...['/', '//', '/admin', 'admin', '/secret', '.', '..', '/..', '/../', ';', '..;x', '.;', '\\', '%', '%2', '2', 'f'],
  ...[
    '%2f',
    '%2F',
    '%5c',
    '%2e',
    '%2E%2e',
    '%61dmin',
    '%252e',
    '%252f',
    '%%32%65',
    '%c0%ae',
    '%00',
    '%',
    '?',
    '#',
    '"',
    '~',
  ],
);
const targets = fc.array(pieces, { maxLength: 8 }).map((parts) => `/${parts.join('')}`);

it.each(MODES)(
  '%s: rules are held against the path that goes upstream, which they would find again',
  (mode, listener) => {
    let matched = 0;
    fc.assert(
      fc.property(targets, (target) => {
        const found = decided(target, listener);
        if (found === undefined) return;
        const [path = ''] = found.forwarded.split('?');
        const expected = RULES.filter(({ matches }) => matches(path)).map(({ text }) => text);
        expect(found.matching, `${mode}: ${target} as ${found.forwarded}`).toEqual(expected);
        expect(found.forwarded).not.toContain('#');
        const again = decided(found.forwarded, MODES[0]![1]);
        expect(again, `${found.forwarded} as it is`).toEqual(found);
        matched += expected.length;
      }),
      { numRuns: RUNS / 3 },
    );
    expect(matched).toBeGreaterThan(RUNS / 30);
  },
);
