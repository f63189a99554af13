// Nanoseconds for one call of each step of the hot path: `node bench/core-bench.mjs` after a build. Nothing is asserted:
// the numbers are for comparing two versions on one machine.
import { fromJson } from '@bufbuild/protobuf';
import { ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { LocalRateLimitSchema } from '@lateen/xds-proto/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit_pb.js';
import * as C from '../dist/index.js';
import { LISTENER_OPTIONS } from './listener-options.mjs';

const VIRTUAL_HOSTS = 100;
const core = C.createCore({ seed: [1, 2] });
const tables = C.createTables(core);
const { wasm, i32 } = core;

function cluster(name) {
  const lbEndpoints = [1, 2, 3].map((host) => ({
    endpoint: { address: { socketAddress: { address: `10.0.0.${host}`, portValue: 80 } } },
  }));
  const loadAssignment = { clusterName: name, endpoints: [{ lbEndpoints }] };
  return { cluster: fromJson(ClusterSchema, { name, type: 'STATIC', lbPolicy: 'LEAST_REQUEST', loadAssignment }) };
}
function virtualHost(index) {
  const toV2 = { prefix: '/', headers: [{ name: 'end-user', stringMatch: { exact: 'jason' } }] };
  return {
    name: `service-${index}`,
    domains: [`service-${index}.default.svc.cluster.local`, `service-${index}`],
    includeRequestAttemptCount: true,
    routes: [
      { match: toV2, route: { cluster: `v2-${index}` } },
      { match: { prefix: '/' }, route: { cluster: `v1-${index}` } },
    ],
  };
}
const indexes = Array.from({ length: VIRTUAL_HOSTS }, (_, index) => index);
const config = fromJson(RouteConfigurationSchema, { name: '80', virtualHosts: indexes.map(virtualHost) });
const clusters = indexes.flatMap((index) => [cluster(`v1-${index}`), cluster(`v2-${index}`)]);
const started = performance.now();
const result = tables.compile({ routeConfigurations: [config], clusters, nowMs: Date.now() });
if (!result.ok) throw new Error(result.problems.map(C.formatProblem).join('\n'));
tables.activate();
console.log(
  `compile ${VIRTUAL_HOSTS} virtual hosts: ${(performance.now() - started).toFixed(1)} ms, ${result.bytes} bytes`,
);

const OPTIONS = {
  ...LISTENER_OPTIONS,
  serverName: 'istio-envoy',
  peerFromResponse: true,
  requestLines: [
    ['x-envoy-peer-metadata-id', 'sidecar~10.0.0.1~a.default~default.svc.cluster.local'],
    ['x-envoy-peer-metadata', 'Q'.repeat(400)],
  ],
};
const listener = C.internListenerOptions(core, OPTIONS, 0);
const slot = tables.routeConfigSlot('80');
const request =
  'GET /api/v1/products/42?detail=full HTTP/1.1\r\nHost: service-57:80\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n' +
  'Accept: application/json, text/plain, */*\r\nAccept-Language: en-US,en;q=0.9\r\nAccept-Encoding: gzip, deflate\r\n' +
  'Connection: keep-alive\r\nend-user: tester\r\ncookie: session=0123456789abcdef; theme=dark\r\n\r\n';
const response =
  `HTTP/1.1 200 OK\r\nserver: istio-envoy\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\ncontent-type: application/json\r\n` +
  `content-length: 1024\r\nx-envoy-upstream-service-time: 3\r\nx-envoy-peer-metadata-id: sidecar~10.0.0.2~b.default\r\n` +
  `x-envoy-peer-metadata: ${'R'.repeat(400)}\r\nconnection: keep-alive\r\n\r\n`;
const RESPONSE_AT = C.READ_BUFFER + 8192;
const CHUNKS_AT = C.READ_BUFFER + 16384;
const chunked = `400\r\n${'x'.repeat(1024)}\r\n0\r\n\r\n`;
const requestLength = core.bytes.write(request, C.READ_BUFFER, 'latin1');
const responseLength = core.bytes.write(response, RESPONSE_AT, 'latin1');
const chunkedLength = core.bytes.write(chunked, CHUNKS_AT, 'latin1');
const chunkState = core.chunkStates.take();

// A gRPC request as the second one of a connection has it: nearly all of it indexed; and as one that knows no table.
const GRPC_KIND = C.H2_REQUEST;
const H2_AT = C.H2_BLOCK_BUFFER;
const H2_PLAIN_AT = H2_AT + 4096;
const H2_CODED_AT = H2_AT + 8192;
const H2_HEAD_AT = C.READ_BUFFER + 32_768;
const decoder = core.h2Decoders.take();
wasm.h2ResetDecoder(decoder);
const grpcFields = {
  ':path': '/helloworld.Greeter/SayHello',
  ':authority': 'greeter.default.svc.cluster.local:50051',
  'content-type': 'application/grpc',
  'user-agent': 'grpc-node-js/1.14.7',
  'grpc-accept-encoding': 'identity,deflate,gzip',
  'accept-encoding': 'identity',
  te: 'trailers',
  'x-request-id': '2f1f0d3e-9b1f-4b57-a7f4-9e5b61d0e1c2',
};
const added = Object.entries(grpcFields).map(([name, value]) =>
  Buffer.concat([Buffer.from([0x40, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]),
);
// Adds the fields to the table, then repeats them by their indexes with one literal (grpc-timeout).
const first = Buffer.concat([Buffer.from([0x83, 0x86]), ...added]);
first.copy(core.bytes, H2_AT);
if (wasm.h2DecodeHead(decoder, H2_AT, first.length, GRPC_KIND, C.H2_HEAD_BUFFER, 65536) < 0)
  throw new Error('h2DecodeHead');
const again = Buffer.concat([
  Buffer.from([0x83, 0x86]),
  Buffer.from(added.map((_, index) => 0x80 | (61 + added.length - index))),
  Buffer.from([0, 12]),
  Buffer.from('grpc-timeout'),
  Buffer.from([4]),
  Buffer.from('999m'),
]);
const grpcLength = again.copy(core.bytes, H2_AT);
const grpcHeadLength = wasm.h2DecodeHead(decoder, H2_AT, grpcLength, GRPC_KIND, C.H2_HEAD_BUFFER, 65536);
const grpcHead = core.text(C.H2_HEAD_BUFFER, grpcHeadLength);
core.bytes.write(grpcHead, H2_HEAD_AT, 'latin1');
const plainLength = wasm.h2EncodeHead(H2_HEAD_AT, grpcHead.length, C.H2_REQUEST, H2_PLAIN_AT, 4096);
const codedLength = wasm.h2EncodeHead(H2_HEAD_AT, grpcHead.length, C.H2_REQUEST | C.H2_HUFFMAN, H2_CODED_AT, 4096);

const steps = {
  parseRequest: () => wasm.parseRequest(C.READ_BUFFER, requestLength, 0, listener, 0),
  route: () => wasm.route(slot, -1, 0),
  pick: () => wasm.pick(i32[C.ROUTE_CLUSTER >> 2], 0, 1),
  writeUpstreamHead: () => wasm.writeUpstreamHead(C.OUTPUT_RING, 65536, listener, 0, i32[C.ROUTE_CLUSTER >> 2]),
  parseResponse: () => wasm.parseResponse(RESPONSE_AT, responseLength, 0, C.METHOD_GET, 0, listener),
  writeDownstreamHead: () =>
    wasm.writeDownstreamHead(C.OUTPUT_RING, 65536, listener, i32[C.ROUTE_POLICY >> 2], 0, 3, 1),
  internPeer: () => wasm.internPeer(i32[C.RESP_PEER_METADATA_OFFSET >> 2], i32[C.RESP_PEER_METADATA_LENGTH >> 2], 0),
  record: () => wasm.record(1, 2, 3, 200, 0, -1, 3.2, 250, 1300),
  scanChunks: () => {
    wasm.resetChunks(chunkState, C.CHUNK_MODE_FRAMED);
    return wasm.scanChunks(chunkState, CHUNKS_AT, chunkedLength);
  },
  'h2DecodeHead, gRPC': () => wasm.h2DecodeHead(decoder, H2_AT, grpcLength, GRPC_KIND, C.H2_HEAD_BUFFER, 65536),
  'h2DecodeHead, gRPC, no table': () =>
    wasm.h2DecodeHead(decoder, H2_PLAIN_AT, plainLength, GRPC_KIND, C.H2_HEAD_BUFFER, 65536),
  'h2DecodeHead, gRPC, no table, Huffman': () =>
    wasm.h2DecodeHead(decoder, H2_CODED_AT, codedLength, GRPC_KIND, C.H2_HEAD_BUFFER, 65536),
  'h2EncodeHead, gRPC': () => wasm.h2EncodeHead(H2_HEAD_AT, grpcHead.length, C.H2_REQUEST, C.OUTPUT_RING, 65536),
  'h2EncodeHead, gRPC, Huffman': () =>
    wasm.h2EncodeHead(H2_HEAD_AT, grpcHead.length, C.H2_REQUEST | C.H2_HUFFMAN, C.OUTPUT_RING, 65536),
  'copy 1 KiB': () => wasm.copy(C.OUTPUT_RING, C.READ_BUFFER, 1024),
};
steps['all of one request'] = () => {
  steps.parseRequest();
  steps.route();
  steps.pick();
  steps.writeUpstreamHead();
  steps.parseResponse();
  steps.writeDownstreamHead();
  steps.internPeer();
  steps.record();
};

// A hundred routes by regular expression, of which the last one matches; and a route behind a rate limit.
const regexRoutes = indexes.map((index) => ({
  match: { safeRegex: { regex: `/api/v${index}/(products|orders)/[0-9]+(/.*)?` } },
  route: { cluster: `v1-${index}` },
}));
const extra = [
  { name: 'regex', virtualHosts: [{ name: 'regex', domains: ['*'], routes: regexRoutes }] },
  {
    name: 'rewrite',
    virtualHosts: [
      {
        name: 'rewrite',
        domains: ['*'],
        routes: [
          {
            match: { prefix: '/' },
            route: {
              cluster: 'v1-0',
              regexRewrite: { pattern: { regex: '^/api/v([0-9]+)/([^/]+)' }, substitution: '/\\2/\\1' },
            },
          },
        ],
      },
    ],
  },
].map((json) => fromJson(RouteConfigurationSchema, json));
const extraStarted = performance.now();
const compiled = tables.compile({ routeConfigurations: [config, ...extra], clusters, nowMs: Date.now() });
if (!compiled.ok) throw new Error(compiled.problems.map(C.formatProblem).join('\n'));
tables.activate();
console.log(
  `compile 100 regular expressions: ${(performance.now() - extraStarted).toFixed(1)} ms, ${compiled.bytes - result.bytes} bytes`,
);

// Consistent hashing over 1,000 endpoints.
const manyEndpoints = Array.from({ length: 1000 }, (_, host) => ({
  endpoint: { address: { socketAddress: { address: `10.1.${host >> 8}.${host & 255}`, portValue: 80 } } },
}));
const hashed = ['RING_HASH', 'MAGLEV'].map((lbPolicy) => ({
  cluster: fromJson(ClusterSchema, {
    name: lbPolicy,
    type: 'STATIC',
    lbPolicy,
    loadAssignment: { clusterName: lbPolicy, endpoints: [{ lbEndpoints: manyEndpoints }] },
  }),
}));
const hashPolicy = [{ cookie: { name: 'session' } }];
const hashedRoutes = fromJson(RouteConfigurationSchema, {
  name: 'hashed',
  virtualHosts: [
    {
      name: 'hashed',
      domains: ['*'],
      routes: [{ match: { prefix: '/' }, route: { cluster: 'RING_HASH', hashPolicy } }],
    },
  ],
});
for (const each of [1, 2]) {
  const hashedStarted = performance.now();
  const input = {
    routeConfigurations: [config, ...extra, hashedRoutes],
    clusters: [...clusters, ...hashed.slice(0, each)],
  };
  const tablesOfHashes = tables.compile({ ...input, nowMs: Date.now() });
  if (!tablesOfHashes.ok) throw new Error(tablesOfHashes.problems.map(C.formatProblem).join('\n'));
  tables.activate();
  console.log(
    `compile ${hashed[each - 1].cluster.name} of 1,000 endpoints: ${(performance.now() - hashedStarted).toFixed(1)} ms`,
  );
}
const hashedSlot = tables.routeConfigSlot('hashed');
const [ringSlot, maglevSlot] = [tables.clusterSlot('RING_HASH'), tables.clusterSlot('MAGLEV')];
const prepareHashed = () => {
  wasm.parseRequest(C.READ_BUFFER, requestLength, 0, listener, 0);
  wasm.route(hashedSlot, -1, 0);
};
const limit = fromJson(LocalRateLimitSchema, {
  statPrefix: 'bench',
  tokenBucket: { maxTokens: 1_000_000, tokensPerFill: 1_000_000, fillInterval: '1s' },
  filterEnabled: { defaultValue: { numerator: 100 } },
  filterEnforced: { defaultValue: { numerator: 100 } },
});
const problems = new C.ProblemList('Listener', 'bench');
const limitedListener = C.internListenerOptions(
  core,
  {
    ...OPTIONS,
    rateLimits: [{ filterId: tables.limitSlots.filterId('limit'), record: tables.rateLimit(limit, '', 'b', problems) }],
  },
  0,
);
const [regexSlot, rewriteSlot] = [tables.routeConfigSlot('regex'), tables.routeConfigSlot('rewrite')];
const regexRequest = request.replace('/api/v1/products/42', '/api/v99/products/42');
const REGEX_REQUEST_AT = C.READ_BUFFER + 24_576;
const regexLength = core.bytes.write(regexRequest, REGEX_REQUEST_AT, 'latin1');
let nowMs = 0;
const parseRegexRequest = () => wasm.parseRequest(REGEX_REQUEST_AT, regexLength, 0, listener, 0);
const extraSteps = {
  'regex route, 1st of 100': () => wasm.route(regexSlot, -1, 0),
  'regex route, 100th': () => wasm.route(regexSlot, -1, 0),
  'regex rewrite': () => wasm.writeUpstreamHead(C.OUTPUT_RING, 65536, listener, 0, 0),
  'hash of a cookie': () => wasm.hashRequest(listener, 0),
  'ring hash, 1,000 endpoints': () => {
    wasm.hashRequest(listener, 0);
    return wasm.pick(ringSlot, 0, 1);
  },
  'Maglev, 1,000 endpoints': () => {
    wasm.hashRequest(listener, 0);
    return wasm.pick(maglevSlot, 0, 1);
  },
  'rate limit': () => {
    nowMs += 0.002;
    return wasm.chargeLimits(limitedListener, 0, nowMs);
  },
};
const prepare = {
  'regex route, 1st of 100': () => {
    const length = core.bytes.write(request.replace('/api/v1/', '/api/v0/'), REGEX_REQUEST_AT, 'latin1');
    wasm.parseRequest(REGEX_REQUEST_AT, length, 0, listener, 0);
  },
  'regex route, 100th': () => {
    core.bytes.write(regexRequest, REGEX_REQUEST_AT, 'latin1');
    parseRegexRequest();
  },
  'hash of a cookie': prepareHashed,
  'ring hash, 1,000 endpoints': prepareHashed,
  'Maglev, 1,000 endpoints': prepareHashed,
  'regex rewrite': () => {
    parseRegexRequest();
    wasm.route(rewriteSlot, -1, 0);
  },
};

const ROUNDS = 20_000;
Object.assign(steps, extraSteps);
for (const [name, step] of Object.entries(steps)) {
  prepare[name]?.();
  for (let i = 0; i < 20_000; i++) step();
}
for (const [name, step] of Object.entries(steps)) {
  prepare[name]?.();
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < 60; run++) {
    const start = process.hrtime.bigint();
    for (let i = 0; i < ROUNDS; i++) step();
    best = Math.min(best, Number(process.hrtime.bigint() - start) / ROUNDS);
  }
  console.log(`${name.padEnd(26)} ${best.toFixed(1).padStart(8)} ns`);
}
