// Workers: a configuration as messages between processes: what the other side has already is not sent again, and stays the
// very same object there, by which the data path knows what did not change.

import { isDeepStrictEqual } from 'node:util';
import { type DescMessage, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';
import { type Cluster, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import {
  type ClusterLoadAssignment,
  ClusterLoadAssignmentSchema,
} from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { type Listener, ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { type RouteConfiguration, RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type { DataPlaneConfig, TlsSecret } from '../data-plane.js';

const SCHEMAS = {
  listener: ListenerSchema,
  route: RouteConfigurationSchema,
  cluster: ClusterSchema,
  endpoint: ClusterLoadAssignmentSchema,
} as const satisfies Record<string, DescMessage>;
type Kind = keyof typeof SCHEMAS;

/** Messages are known by numbers that are never given again. */
export interface ConfigDelta {
  readonly fresh: readonly { readonly number: number; readonly kind: Kind; readonly bytes: Uint8Array }[];
  /** Neither this configuration has them nor the one in effect. */
  readonly gone: readonly number[];
  readonly listeners: readonly number[];
  readonly clusters: readonly number[];
  readonly routes: readonly (readonly [string, number])[];
  readonly endpoints: readonly (readonly [string, number])[];
  readonly discovered: readonly (readonly [string, number])[];
  readonly secrets: ReadonlyMap<string, TlsSecret>;
}

/** One for each worker. */
export class ConfigSender {
  readonly #numbers = new Map<Message, number>();
  #last = 0;
  #inEffect: ReadonlySet<Message> = new Set();
  #sent: ReadonlySet<Message> = new Set();

  /** To be sent at once: the other side has what was sent. */
  delta(config: DataPlaneConfig): ConfigDelta {
    const sent = new Set<Message>();
    const fresh: ConfigDelta['fresh'][number][] = [];
    const numberOf = (kind: Kind, message: Message): number => {
      sent.add(message);
      const known = this.#numbers.get(message);
      if (known !== undefined) return known;
      const number = ++this.#last;
      this.#numbers.set(message, number);
      fresh.push({ number, kind, bytes: toBinary(SCHEMAS[kind] as DescMessage, message) });
      return number;
    };
    const named = (kind: Kind, messages: ReadonlyMap<string, Message> = new Map()) =>
      [...messages].map(([name, message]) => [name, numberOf(kind, message)] as const);
    const lists = {
      listeners: config.listeners.map((message) => numberOf('listener', message)),
      clusters: config.clusters.map((message) => numberOf('cluster', message)),
      routes: named('route', config.routes),
      endpoints: named('endpoint', config.endpoints),
      discovered: named('endpoint', config.discovered),
    };
    const gone: number[] = [];
    for (const [message, number] of this.#numbers) {
      if (sent.has(message) || this.#inEffect.has(message)) continue;
      gone.push(number);
      this.#numbers.delete(message);
    }
    this.#sent = sent;
    return { fresh, gone, ...lists, secrets: config.secrets };
  }

  /** What was sent last is in effect. */
  committed(): void {
    this.#inEffect = this.#sent;
  }
}

/** The other end of a ConfigSender. */
export class ConfigReceiver {
  readonly #messages = new Map<number, Message>();
  #secrets: ReadonlyMap<string, TlsSecret> = new Map();

  receive({ fresh, gone, listeners, clusters, routes, endpoints, discovered, secrets }: ConfigDelta): DataPlaneConfig {
    for (const number of gone) this.#messages.delete(number);
    for (const { number, kind, bytes } of fresh) {
      this.#messages.set(number, fromBinary(SCHEMAS[kind] as DescMessage, bytes));
    }
    return {
      listeners: listeners.map((number) => this.#message<Listener>(number)),
      clusters: clusters.map((number) => this.#message<Cluster>(number)),
      routes: new Map(routes.map(([name, number]) => [name, this.#message<RouteConfiguration>(number)])),
      endpoints: new Map(endpoints.map(([name, number]) => [name, this.#message<ClusterLoadAssignment>(number)])),
      discovered: new Map(discovered.map(([name, number]) => [name, this.#message<ClusterLoadAssignment>(number)])),
      secrets: this.secrets(secrets),
    };
  }

  /** The same objects for the same secrets: reading a certificate takes longer than comparing it. */
  secrets(secrets: ReadonlyMap<string, TlsSecret>): ReadonlyMap<string, TlsSecret> {
    const before = this.#secrets;
    const same = ([name, secret]: [string, TlsSecret]): [string, TlsSecret] => {
      const known = before.get(name);
      return [name, known !== undefined && isDeepStrictEqual(known, secret) ? known : secret];
    };
    this.#secrets = new Map([...secrets].map(same));
    return this.#secrets;
  }

  #message<T extends Message>(number: number): T {
    const message = this.#messages.get(number);
    if (message === undefined) throw new Error(`resource ${number} was never sent`);
    // The sender makes lists of the kind that their place in the configuration asks for.
    return message as T;
  }
}
