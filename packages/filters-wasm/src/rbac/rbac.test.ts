// Access rules: the compiled index decides as the protos say, for random rules and requests; and what it refuses to compile.
import { fromJson, type JsonObject } from '@bufbuild/protobuf';
import { xdsRegistry } from '@lateen/xds-proto';
import { RBACSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import { describe, expect, it } from 'vitest';
import { clearClaims, encodeClaims, putClaims } from '../claims/claims.js';
import { ProblemList } from '../compile/problems.js';
import { type CompiledRules, compileRules } from '../compile/rbac/compile-rules.js';
import { createCore } from '../core.js';
import { READ_BUFFER } from '../layout.js';
import { internListenerOptions, type ListenerOptions } from '../listener-options.js';
import { createDice, randomRequest, randomRules } from '../reference/rbac/rbac-cases.js';
import { matchingPolicy, type RuledRequest } from '../reference/rbac/reference-rbac.js';
import { PLAIN_OPTIONS } from '../reference/test-core.js';
import { RBAC_NO_MATCH, RBAC_REGION_BYTES, RBAC_RULES_GONE } from './rbac-layout.js';
import { createRbacRegion } from './rbac-region.js';

/** Pairs of rules and requests; the long run has 20,000. */
const PAIRS = Number(process.env.LATEEN_RBAC_PAIRS ?? 1500);
const REQUESTS_PER_RULES = 60;

const core = createCore({ seed: [7, 11] });
const inside = internListenerOptions(core, PLAIN_OPTIONS, 0);

function compile(json: JsonObject, scope: 'http' | 'network' = 'http'): CompiledRules & { problems: string[] } {
  const problems = new ProblemList('Listener', 'l');
  const compiled = compileRules(
    problems,
    'rules',
    fromJson(RBACSchema, json, { registry: xdsRegistry }),
    scope,
    core.rulesHash,
  );
  return { ...compiled, problems: problems.problems.map(({ path, message }) => `${path} ${message}`) };
}

/** At the edge of the mesh. */
const edgeOf = (forwardClientCert: ListenerOptions['forwardClientCert']) =>
  internListenerOptions(
    core,
    { ...PLAIN_OPTIONS, useRemoteAddress: true, generateRequestId: true, forwardClientCert },
    0,
  );

/** The policy that the core finds; the rules are in memory for as long as that takes. */
function decide(
  rules: { readonly offset: number; readonly serial: number },
  request: RuledRequest,
  listener = inside,
  xfcc = '',
): number {
  const lines = request.headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const head = `${request.method} ${request.path} HTTP/1.1\r\nhost: ${request.authority}\r\n${lines}\r\n`;
  const length = core.bytes.write(head, READ_BUFFER, 'latin1');
  const record = core.connections.create({
    remoteAddress: request.directAddress,
    tls: request.tls,
    mutualTls: request.principal !== '',
    xfcc,
    principal: request.principal,
    peer: {
      localAddress: request.localAddress,
      localPort: request.localPort,
      serverName: request.serverName,
      names: request.names,
    },
  });
  expect(core.wasm.parseRequest(READ_BUFFER, length, 0, listener, record)).toBe(length);
  putClaims(
    core,
    Object.entries(request.claims).map(([name, value]) => encodeClaims(name, value)!),
  );
  const result = core.wasm.checkRules(rules.offset, rules.serial, listener, record, request.tls ? 1 : 0);
  clearClaims(core);
  core.connections.release(record);
  return result;
}

const ANY = { any: true };
const request: RuledRequest = { ...randomRequest(createDice(1)), method: 'GET', path: '/x', headers: [], tls: false };

describe('access rules', () => {
  it('decide as the protos say, for random rules and requests', () => {
    let matched = 0;
    for (let seed = 1; seed <= PAIRS / REQUESTS_PER_RULES; seed++) {
      const dice = createDice(seed);
      const json = randomRules(dice);
      const { problems, policyNames, bytes } = compile(json);
      expect(problems).toEqual([]);
      const rules = core.rbac.intern(bytes, 0)!;
      const message = fromJson(RBACSchema, json);
      for (let index = 0; index < REQUESTS_PER_RULES; index++) {
        const asked = randomRequest(dice);
        const expected = matchingPolicy(message, asked);
        const found = decide(rules, asked);
        if (expected !== undefined) matched++;
        if (policyNames[found] !== expected) {
          const policy = JSON.stringify((json.policies as JsonObject)[expected ?? policyNames[found] ?? '']);
          expect.fail(
            `seed ${seed}: ${policyNames[found]} in place of ${expected} for ${JSON.stringify(asked)}\n${policy}`,
          );
        }
      }
      core.rbac.retain(new Set(), 0);
      core.rbac.retain(new Set(), 1e9);
    }
    // The cases are worth something: neither everything matches nor nothing.
    expect(matched).toBeGreaterThan(PAIRS / 10);
    expect(matched).toBeLessThan(PAIRS * 0.95);
  });

  it('match each value of a repeated header by itself, and a path without its query', () => {
    const role = { header: { name: 'X-Role', stringMatch: { exact: 'admin' } } };
    const rules = compile({
      policies: {
        a: { permissions: [role], principals: [ANY] },
        b: { permissions: [{ urlPath: { path: { exact: '/b' } } }], principals: [ANY] },
      },
    });
    const place = core.rbac.intern(rules.bytes, 0)!;
    const headers = (...values: string[]) => values.map((value) => ['x-role', value] as const);
    expect(decide(place, { ...request, headers: headers('user', 'admin') })).toBe(0);
    expect(decide(place, { ...request, headers: headers('user,admin') })).toBe(RBAC_NO_MATCH);
    expect(decide(place, { ...request, path: '/b?c=/d' })).toBe(1);
    expect(decide(place, { ...request, path: '/b/' })).toBe(RBAC_NO_MATCH);
  });

  it('have path templates for everything that may stand in a path', () => {
    const template = (pathTemplate: string) =>
      compile({
        policies: {
          t: {
            permissions: [
              {
                uriTemplate: {
                  name: 't',
                  typedConfig: {
                    '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
                    pathTemplate,
                  },
                },
              },
            ],
            principals: [ANY],
          },
        },
      });
    const place = core.rbac.intern(template('/t/*/x.y/{rest=**}').bytes, 0)!;
    const matched = ['/t/a/x.y/', '/t/a=b;c/x.y/d/e', '/t/*/x.y/', '/t/{"|/x.y/', '/t/%2f/x.y/', '/t/a/x.y/?q'];
    for (const path of matched) expect(decide(place, { ...request, path }), path).toBe(0);
    for (const path of ['/t/a/x.y', '/t//x.y/', '/t/a/xzy/', '/t/a/b/x.y/', '/t/[/x.y/', '/u/t/a/x.y/']) {
      expect(decide(place, { ...request, path }), path).toBe(RBAC_NO_MATCH);
    }
    const suffixed = core.rbac.intern(template('/**.mpd').bytes, 0)!;
    expect(decide(suffixed, { ...request, path: '/a/b.c/d.mpd' })).toBe(0);
    expect(decide(suffixed, { ...request, path: '/a/b.mpdx' })).toBe(RBAC_NO_MATCH);
    for (const bad of ['a', '/a b', '/a//b', '/{x}/{x}', '/a/**/*', '/x/{a=}', '/x/{a=*b}', '/x/{a', '/a*']) {
      expect(template(bad).problems, bad).toHaveLength(1);
    }
  });

  it('see headers that the proxy writes by itself as they are forwarded', () => {
    const edge = edgeOf('append-forward');
    const cert = 'URI=spiffe://me';
    const sent = (...headers: (readonly [string, string])[]) => ({ ...request, directAddress: '10.0.0.9', headers });
    const header = (name: string, stringMatch?: JsonObject) => ({
      header: { name, ...(stringMatch === undefined ? { presentMatch: true } : { stringMatch }) },
    });
    // Looked up in the index, and tested one by one.
    const wraps: readonly ((one: JsonObject) => JsonObject)[] = [
      (one) => one,
      (one) => ({ notRule: { orRules: { rules: [{ notRule: one }, { header: { name: 'x-none' } }] } } }) as JsonObject,
    ];
    for (const wrap of wraps) {
      const matches = (one: JsonObject, ...rest: [RuledRequest, number?, string?]) => {
        const rules = compile({ policies: { a: { permissions: [wrap(one)], principals: [ANY] } } });
        expect(rules.problems).toEqual([]);
        return decide(core.rbac.intern(rules.bytes, 0)!, ...rest) === 0;
      };
      const forwarded = (exact: string) => header('x-forwarded-for', { exact });
      expect(matches(forwarded('10.0.0.9'), sent(), edge)).toBe(true);
      expect(matches(forwarded('10.0.0.9'), sent(), inside)).toBe(false);
      expect(matches(forwarded('1.1.1.1'), sent(['x-forwarded-for', '1.1.1.1']), edge)).toBe(false);
      const lines = sent(['x-forwarded-for', '1.1.1.1'], ['x-forwarded-for', '2.2.2.2']);
      expect(matches(forwarded('1.1.1.1,2.2.2.2,10.0.0.9'), lines, edge)).toBe(true);
      expect(matches(forwarded('2.2.2.2'), lines, inside)).toBe(true);

      const certificate = (exact: string) => header('x-forwarded-client-cert', { exact });
      const told = sent(['x-forwarded-client-cert', 'By=a']);
      const caller = { ...told, tls: true, principal: 'spiffe://me' };
      expect(matches(certificate(`By=a,${cert}`), caller, edge, cert)).toBe(true);
      expect(matches(certificate(cert), caller, edgeOf('sanitize-set'), cert)).toBe(true);
      expect(matches(certificate('By=a'), { ...told, principal: '' }, edge)).toBe(false);

      expect(matches(header('x-request-id'), sent(), edge)).toBe(true);
      expect(matches(header('x-request-id', { contains: '-4' }), sent(), edge)).toBe(true);
      expect(matches(header('x-request-id', { exact: 'mine' }), sent(['x-request-id', 'mine']), edge)).toBe(true);
      expect(matches(header('x-request-id'), sent(), inside)).toBe(false);
      expect(matches(header('x-forwarded-proto', { exact: 'http' }), { ...sent(), tls: false }, edge)).toBe(true);
    }
  });

  it('take an inverted header only where none of its values agrees', () => {
    const header = { name: 'x-role', stringMatch: { exact: 'admin' }, invertMatch: true };
    const { bytes } = compile({ policies: { a: { permissions: [{ header }], principals: [ANY] } } });
    const place = core.rbac.intern(bytes, 0)!;
    const found = (...values: string[]) =>
      decide(place, { ...request, headers: values.map((value) => ['x-role', value] as const) });
    expect([found('user'), found('user', 'admin'), found('admin'), found()]).toEqual([
      0,
      RBAC_NO_MATCH,
      RBAC_NO_MATCH,
      RBAC_NO_MATCH,
    ]);
  });

  it('allow nothing once they are gone, or where nothing is known of the connection', () => {
    const { bytes } = compile({ policies: { a: { permissions: [ANY], principals: [ANY] } } });
    const place = core.rbac.intern(bytes, 0)!;
    expect(decide(place, request)).toBe(0);
    expect(decide({ ...place, serial: place.serial + 1 }, request)).toBe(RBAC_RULES_GONE);
    expect(core.wasm.checkRules(place.offset, place.serial, inside, 0, 0)).toBe(RBAC_RULES_GONE);
  });

  it('have no policies: nothing matches', () => {
    const { bytes } = compile({ action: 'ALLOW' });
    expect(decide(core.rbac.intern(bytes, 0)!, request)).toBe(RBAC_NO_MATCH);
  });

  it('are refused before they take all of the memory', () => {
    const wide = 'x'.repeat(100_000);
    const permissions = Array.from({ length: 400 }, (_, index) => ({
      urlPath: { path: { contains: `${index}${wide}` } },
    }));
    expect(compile({ policies: { a: { permissions, principals: [ANY] } } }).problems).toEqual([
      'rules needs more than the 33554432 bytes that there are for access rules',
    ]);
  });

  it('name what is not supported', () => {
    const of = (permission: JsonObject, scope: 'http' | 'network' = 'http') =>
      compile({ policies: { 'a b': { permissions: [permission], principals: [ANY] } } }, scope).problems;
    const path = 'rules.policies["a b"].permissions[0]';
    expect(of({ matcher: { name: 'm' } })).toEqual([`${path}.matcher is not supported`]);
    expect(of({})).toEqual([`${path} has no rule`]);
    expect(of({ any: false })).toEqual([`${path}.any must be true`]);
    expect(of({ destinationIp: { addressPrefix: '1.2.3', prefixLen: 8 } })).toEqual([
      `${path}.destination_ip "1.2.3/8" is no network`,
    ]);
    expect(of({ header: { name: 'x', presentMatch: true } }, 'network')).toEqual([
      `${path}.header has no meaning for connections: nobody reads their requests`,
    ]);
    expect(compile({ policies: { a: { permissions: [ANY], principals: [ANY], condition: {} } } }).problems).toEqual([
      'rules.policies["a"].condition is not supported',
    ]);
  });
});

describe('the region of rules', () => {
  it('shares equal rules, frees what nobody names, and says when there is no room', () => {
    const region = createRbacRegion(createCore().bytes);
    const half = new Uint8Array(RBAC_REGION_BYTES / 2 - 64);
    const other = half.slice().fill(1);
    const first = region.intern(half, 0)!;
    expect(region.intern(half, 0)).toBe(first);
    const second = region.intern(other, 0)!;
    expect(second.serial).not.toBe(first.serial);
    expect(region.intern(half.slice().fill(2), 0)).toBeUndefined();
    region.retain(new Set([second.offset]), 0);
    expect(region.intern(half.slice().fill(2), 1000)).toBeUndefined();
    expect(region.intern(half.slice().fill(2), 121_000)?.offset).toBe(first.offset);
  });
});
