// Fuzzing, xDS: resources changed by field, served to a real sidecar: each is taken or refused by name, and the rest serves on.

import { type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { type Any, AnySchema, anyUnpack } from '@bufbuild/protobuf/wkt';
import { packAny, TYPE_URL } from '@lateen/xds-proto';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import { freePort } from '../../harness/free-port.js';
import { dynamicResources } from '../../security/control-plane.js';
import { ProxyUnderTest } from '../../security/proxy-under-test.js';
import { type FuzzTarget, failed, type Outcome, passed } from '../loop/fuzz-target.js';
import type { Random } from '../loop/random.js';
import { mutateBytes } from '../mutate/mutate-bytes.js';
import { mutateMessage } from '../mutate/mutate-message.js';
import { EchoBackend } from './echo-backend.js';
import { memoryFault } from './memory.js';
import { exchange } from './read-answers.js';
import { FuzzControlPlane } from './xds-control-plane.js';
import { type BaseResources, baseResources, FUZZED_NAME, XDS_SEEDS } from './xds-seeds.js';

const VERDICT_MS = 15_000;
const ANSWER_MS = 10_000;
const LOOK_EVERY = 25;
const SCHEMAS: Readonly<Record<string, DescMessage>> = {
  [TYPE_URL.listener]: ListenerSchema,
  [TYPE_URL.cluster]: ClusterSchema,
  [TYPE_URL.route]: RouteConfigurationSchema,
  [TYPE_URL.endpoint]: ClusterLoadAssignmentSchema,
};
const PROBES = ['/', '/api/x?q=xy', '/old', '/direct/a', '/%2e'].map((path) =>
  Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a.example\r\nend-user: jason\r\n\r\n`),
);

export class XdsResourcesTarget implements FuzzTarget {
  readonly name = 'xds-resources';
  readonly oracle =
    'a sidecar acknowledges a resource or refuses it with words, answers requests, and what it had serves on';
  readonly #backend = new EchoBackend();
  readonly #control = new FuzzControlPlane();
  #base: BaseResources | undefined;
  #proxy: ProxyUnderTest | undefined;
  #basePort = 0;
  #routesPort = 0;
  #runs = 0;
  #taken = 0;
  #firstRssMiB = 0;

  async start(): Promise<void> {
    const backendPort = await this.#backend.listen();
    this.#basePort = await freePort();
    this.#routesPort = await freePort();
    this.#base = baseResources(backendPort, this.#basePort, this.#routesPort);
    const port = await this.#control.start();
    const ready = ProxyUnderTest.startWith(dynamicResources(port), { flags: ['--drain-time', '100ms'] });
    // It is ready once it has routes for every listener, so the first resource is served before that.
    const routes = fromBinary(AnySchema, XDS_SEEDS[4] as Buffer);
    await this.#control.serve(this.#base, FUZZED_NAME, routes, 60_000);
    this.#proxy = await ready;
    this.#firstRssMiB = this.#proxy.rssMiB();
  }

  async stop(): Promise<void> {
    await this.#proxy?.stop();
    this.#control.stop();
    this.#backend.close();
  }

  seeds = () => XDS_SEEDS;

  mutate(random: Random, input: Buffer, other: Buffer): Buffer {
    if (random.chance(0.05)) return mutateBytes(random, input, other, []);
    const any = readAny(input);
    const schema = any === undefined ? undefined : SCHEMAS[any.typeUrl];
    if (any === undefined || schema === undefined) return other;
    try {
      const message = fromBinary(schema, any.value);
      for (let edits = 1 + random.below(3); edits > 0; edits--) mutateMessage(random, schema, message);
      return Buffer.from(toBinary(AnySchema, packAny(schema, message)));
    } catch {
      return mutateBytes(random, input, other, []); // it did not decode, or cannot be written any more
    }
  }

  async run(input: Buffer): Promise<Outcome> {
    const any = readAny(input);
    if (any === undefined || SCHEMAS[any.typeUrl] === undefined)
      return passed('not a resource of a type that is served');
    const name = any.typeUrl === TYPE_URL.endpoint ? `${FUZZED_NAME}-endpoints` : FUZZED_NAME;
    const verdict = await this.#control.serve(this.#base as BaseResources, name, loopbackOnly(any), VERDICT_MS);
    const proxy = this.#proxy as ProxyUnderTest;
    if (proxy.app.child.exitCode !== null) throw new Error(`the sidecar ended: ${proxy.app.output().slice(-3000)}`);
    if (verdict === undefined)
      return failed(`no answer to the resource within ${VERDICT_MS / 1000} s\n${proxy.app.output().slice(-3000)}`);
    if (verdict.error !== undefined && !verdict.error.includes(name))
      return failed(`a refusal does not name the resource: ${verdict.error}`);
    if (verdict.error === undefined) this.#taken++;
    const serving = await this.#servesOn(any.typeUrl);
    if (serving !== undefined) return failed(serving);
    return passed(`${any.typeUrl} ${signatureOf(verdict.error)}`, verdict.error === undefined);
  }

  async #servesOn(typeUrl: string): Promise<string | undefined> {
    if (typeUrl === TYPE_URL.route) {
      const answers = await exchange(this.#routesPort, PROBES, askAll(PROBES));
      if (answers === undefined) return `requests over the changed routes got no answer within ${ANSWER_MS / 1000} s`;
      if (answers.fault !== undefined) return answers.fault;
    }
    if (++this.#runs % LOOK_EVERY !== 0) return undefined;
    const answers = await exchange(this.#basePort, PROBES.slice(0, 1), askAll(PROBES.slice(0, 1)));
    return answers?.statuses[0] === 200 ? undefined : `the listener beside it answered ${answers?.statuses[0]}`;
  }

  atEnd = () => memoryFault(this.#proxy as ProxyUnderTest, this.#firstRssMiB);
  summary = () => [`${this.#taken} of ${this.#runs} resources were taken`];
}

const askAll = (probes: readonly Buffer[]) => ({
  methods: probes.map(() => 'GET'),
  waitsForClose: false,
  timeoutMs: ANSWER_MS,
});

function readAny(input: Buffer): Any | undefined {
  try {
    return fromBinary(AnySchema, input);
  } catch {
    return undefined;
  }
}

/** Names that the sidecar would look up become loopback: nothing of a test leaves the machine. */
function loopbackOnly(any: Any): Any {
  const schema = SCHEMAS[any.typeUrl];
  if (schema !== ClusterSchema && schema !== ClusterLoadAssignmentSchema) return any;
  let message: (Cluster | ClusterLoadAssignment | Listener | RouteConfiguration) & Message;
  try {
    message = anyUnpack(any, schema) as typeof message;
  } catch {
    return any;
  }
  const assignment =
    message.$typeName === 'envoy.config.cluster.v3.Cluster'
      ? message.loadAssignment
      : (message as ClusterLoadAssignment);
  for (const { lbEndpoints } of assignment?.endpoints ?? []) {
    for (const { hostIdentifier } of lbEndpoints) {
      const socket = hostIdentifier.case === 'endpoint' ? hostIdentifier.value.address?.address : undefined;
      if (socket?.case === 'socketAddress' && /[a-z]/i.test(socket.value.address)) socket.value.address = 'localhost';
    }
  }
  return packAny(schema, message);
}

/** The paths of a refusal without positions and quoted values. */
function signatureOf(error: string | undefined): string {
  if (error === undefined) return 'taken';
  return error.replace(/"[^"]*"|\d+/g, '#').slice(0, 160);
}
