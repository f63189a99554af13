// Nanoseconds of one decision by access rules, for 1, 10 and 100 policies of 20 rules each, as an AuthorizationPolicy becomes:
// `node bench/rbac-bench.mjs [rounds]` after a build. A request is parsed once; a round is a batch of 100,000 decisions.
import { fromJson } from '@bufbuild/protobuf';
import { RBACSchema } from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import * as C from '../dist/index.js';
import { LISTENER_OPTIONS } from './listener-options.mjs';

const ROUNDS = Number(process.argv[2] ?? 5);
const BATCH = 100_000;
const RULES_PER_POLICY = 20;
const core = C.createCore({ seed: [1, 2] });
const { wasm } = core;
const listener = C.internListenerOptions(core, LISTENER_OPTIONS, 0);
const PRINCIPAL = 'spiffe://cluster.local/ns/shop-7/sa/cart-3';
const connection = core.connections.create({
  remoteAddress: '10.4.5.6',
  tls: true,
  mutualTls: true,
  xfcc: '',
  principal: PRINCIPAL,
  peer: { localAddress: '10.1.2.3', localPort: 9080, serverName: 'outbound_.9080_._.reviews', names: [PRINCIPAL, ''] },
});

const anyOf = (key, parts) =>
  parts.length === 1 ? parts[0] : { [key]: { [key === 'orRules' ? 'rules' : 'ids']: parts } };
const allOf = (key, parts) =>
  parts.length === 1 ? parts[0] : { [key]: { [key === 'andRules' ? 'rules' : 'ids']: parts } };
const path = (matcher) => ({ urlPath: { path: matcher } });
const header = (name, matcher) => ({ header: { name, stringMatch: matcher } });

/** Rule `n` of all: paths, methods, and now and then hosts, ports and what is not allowed; callers in several forms. */
function rule(n) {
  const permissions = [
    anyOf('orRules', [path({ exact: `/api/v1/service-${n}/items` }), path({ prefix: `/api/v1/service-${n}/items/` })]),
    anyOf('orRules', [header(':method', { exact: 'GET' }), header(':method', { exact: n % 2 === 0 ? 'POST' : 'PUT' })]),
  ];
  if (n % 5 === 0)
    permissions.push(header(':authority', { exact: `service-${n}.shop.svc.cluster.local`, ignoreCase: true }));
  if (n % 7 === 0) permissions.push({ notRule: path({ suffix: '/private' }) });
  if (n % 3 === 0) permissions.push({ destinationPort: 9080 });
  const callers = [
    [{ authenticated: { principalName: { exact: `spiffe://cluster.local/ns/shop-${n % 50}/sa/cart-${n}` } } }],
    [{ authenticated: { principalName: { safeRegex: { regex: `spiffe://[^/]+/ns/shop-${n % 50}/.*` } } } }],
    [{ authenticated: { principalName: { safeRegex: { regex: `spiffe://[^/]+/ns/shop-${n % 50}/sa/cart-${n}` } } } }],
    [{ directRemoteIp: { addressPrefix: `10.${n % 200}.0.0`, prefixLen: 16 } }],
  ][n % 4];
  if (n % 6 === 0) callers.push(header('x-tenant', { exact: `tenant-${n}` }));
  return { permissions: [allOf('andRules', permissions)], principals: [allOf('andIds', callers)] };
}

function compile(policyCount) {
  const policies = {};
  for (let n = 0; n < policyCount * RULES_PER_POLICY; n++) {
    policies[`ns[shop]-policy[p${Math.floor(n / RULES_PER_POLICY)}]-rule[${n % RULES_PER_POLICY}]`] = rule(n);
  }
  const message = fromJson(RBACSchema, { action: 'DENY', policies });
  const problems = new C.ProblemList('Listener', 'bench');
  const before = performance.now();
  const rules = C.compileRules(problems, 'rules', message, 'http', core.rulesHash);
  if (problems.problems.length > 0) throw new Error(C.formatProblem(problems.problems[0]));
  const compileMs = performance.now() - before;
  return { ...rules, place: core.rbac.intern(rules.bytes, 0), compileMs };
}

function parse(target) {
  const head = Buffer.from(
    `GET ${target} HTTP/1.1\r\nhost: reviews.shop.svc.cluster.local\r\nuser-agent: bench/1.0\r\naccept: */*\r\nx-tenant: tenant-1\r\nx-request-id: 0123456789abcdef\r\n\r\n`,
  );
  core.bytes.set(head, C.READ_BUFFER);
  if (wasm.parseRequest(C.READ_BUFFER, head.length, 0, listener, connection) !== head.length)
    throw new Error('not a request');
}

function nanoseconds({ offset, serial }) {
  const taken = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const before = process.hrtime.bigint();
    for (let call = 0; call < BATCH; call++) wasm.checkRules(offset, serial, listener, connection, 1);
    if (round > 0) taken.push(Number(process.hrtime.bigint() - before) / BATCH);
  }
  return Math.round(taken.sort((a, b) => a - b)[ROUNDS >> 1]);
}

for (const count of [1, 10, 100]) {
  const rules = compile(count);
  const results = [];
  // Rules for the caller's namespace: the 57th is in the third policy, the 1957th in the 98th.
  for (const target of [
    '/api/v1/service-57/items/3',
    '/api/v1/service-1957/items',
    '/',
    '/api/v1/service-1/items/private',
  ]) {
    parse(target);
    const found = rules.policyNames[wasm.checkRules(rules.place.offset, rules.place.serial, listener, connection, 1)];
    results.push(`${target} ${found ?? 'no policy'}: ${nanoseconds(rules.place)} ns`);
  }
  console.log(
    `${count} policies of ${RULES_PER_POLICY} rules, ${rules.bytes.length} bytes, compiled in ${rules.compileMs.toFixed(0)} ms: ${results.join('; ')}`,
  );
}
