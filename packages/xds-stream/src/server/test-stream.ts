// ADS server tests: a session with an in-memory stream, and small snapshots of real Envoy resources.

import { create } from '@bufbuild/protobuf';
import { packAny, shortTypeName, TYPE_URL } from '@lateen/xds-proto';
import { Cluster_DiscoveryType, ClusterSchema } from '@lateen/xds-proto/envoy/config/cluster/v3/cluster_pb.js';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { ClusterLoadAssignmentSchema } from '@lateen/xds-proto/envoy/config/endpoint/v3/endpoint_pb.js';
import { ListenerSchema } from '@lateen/xds-proto/envoy/config/listener/v3/listener_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';
import type {
  DeltaDiscoveryResponse,
  DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { StatusSchema } from '@lateen/xds-proto/google/rpc/status_pb.js';
import type { AdsEvents, AdsForm, ResourceEntry, ResourceSet, ServedSnapshot } from './model.js';
import { ENVOY_SERVED_TYPES } from './served-types.js';
import { AdsSession } from './session.js';

/** `{ name: version }` of each type; the version also changes the resource's bytes. */
export interface SnapshotSpec {
  readonly version: string;
  readonly cds?: Record<string, string>;
  readonly eds?: Record<string, string>;
  readonly lds?: Record<string, string>;
  readonly rds?: Record<string, string>;
  readonly revision?: number;
}

const build = {
  cds: (name: string, version: string) =>
    packAny(
      ClusterSchema,
      create(ClusterSchema, {
        name,
        altStatName: version,
        clusterDiscoveryType: { case: 'type', value: Cluster_DiscoveryType.EDS },
      }),
    ),
  eds: (name: string) =>
    packAny(ClusterLoadAssignmentSchema, create(ClusterLoadAssignmentSchema, { clusterName: name })),
  lds: (name: string, version: string) =>
    packAny(ListenerSchema, create(ListenerSchema, { name, statPrefix: version })),
  rds: (name: string) => packAny(RouteConfigurationSchema, create(RouteConfigurationSchema, { name })),
};
const typeUrls = {
  cds: TYPE_URL.cluster,
  eds: TYPE_URL.endpoint,
  lds: TYPE_URL.listener,
  rds: TYPE_URL.route,
} as const;

/** Builds a snapshot of real resources. */
export function snapshotOf(spec: SnapshotSpec): ServedSnapshot {
  const resources = new Map<string, ResourceSet>();
  for (const kind of ['cds', 'eds', 'lds', 'rds'] as const) {
    const set = new Map<string, ResourceEntry>();
    for (const [name, version] of Object.entries(spec[kind] ?? {})) {
      set.set(name, { version, any: build[kind](name, version) });
    }
    resources.set(typeUrls[kind], set);
  }
  const { version, revision } = spec;
  return { version, resources, createdAtMs: Date.now(), ...(revision === undefined ? {} : { revision }) };
}

export type AnyResponse = DiscoveryResponse | DeltaDiscoveryResponse;

/** One line for a response: "CDS a b -gone". */
export function describeResponse(response: AnyResponse): string {
  const names =
    response.$typeName === 'envoy.service.discovery.v3.DeltaDiscoveryResponse'
      ? [
          ...response.resources.map(({ name }) => name).sort(),
          ...response.removedResources.map((name) => `-${name}`).sort(),
        ]
      : response.resources.map((any) => nameIn(response.typeUrl, any.value)).sort();
  return [shortTypeName(response.typeUrl), ...names].join(' ');
}

/** Field 1 is the name in all four resources used here. */
function nameIn(_typeUrl: string, bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(2, 2 + (bytes[1] ?? 0))).toString();
}

export interface TestStreamOptions {
  readonly form: AdsForm;
  readonly ackTimeoutMs?: number;
  readonly removalGraceMs?: number;
  readonly events?: AdsEvents;
  /** False: the test flushes by `flush()`. */
  readonly autoFlush?: boolean;
}

/** A session whose transport is an array. */
export class TestStream {
  readonly received: AnyResponse[] = [];
  readonly session: AdsSession;
  private snapshot: ServedSnapshot | undefined;
  private flushed: (() => void) | undefined;

  constructor(private readonly options: TestStreamOptions) {
    this.session = new AdsSession({
      client: {
        streamId: 's',
        node: create(NodeSchema, { id: 'test' }),
        peer: 'memory',
        form: options.form,
        connectedAtMs: Date.now(),
      },
      types: ENVOY_SERVED_TYPES,
      events: options.events ?? {},
      ackTimeoutMs: options.ackTimeoutMs ?? 60_000,
      removalGraceMs: options.removalGraceMs ?? 1,
      controlPlaneId: 'test',
      write: (response, onFlushed) => {
        this.received.push(response);
        if (options.autoFlush === false) this.flushed = onFlushed;
        else setImmediate(onFlushed);
      },
      onFailure: (error) => {
        throw error;
      },
    });
    this.session.start({ current: () => this.snapshot, close: () => {} });
  }

  /** Serves a snapshot from now on. */
  serve(spec: SnapshotSpec): void {
    this.snapshot = snapshotOf(spec);
    this.session.notify();
  }

  flush(): void {
    this.flushed?.();
  }

  /** State of the world: names (and nonce, and error). */
  ask(kind: keyof typeof typeUrls, names: string[], nonce = '', error?: string): void {
    this.session.receive(
      create(DiscoveryRequestSchema, {
        typeUrl: typeUrls[kind],
        resourceNames: names,
        responseNonce: nonce,
        ...(error === undefined ? {} : { errorDetail: create(StatusSchema, { code: 3, message: error }) }),
      }),
    );
  }

  /** Incremental. */
  change(
    kind: keyof typeof typeUrls,
    fields: { subscribe?: string[]; unsubscribe?: string[]; initial?: Record<string, string> } = {},
  ): void {
    this.session.receive(
      create(DeltaDiscoveryRequestSchema, {
        typeUrl: typeUrls[kind],
        resourceNamesSubscribe: fields.subscribe ?? [],
        resourceNamesUnsubscribe: fields.unsubscribe ?? [],
        initialResourceVersions: fields.initial ?? {},
      }),
    );
  }

  /** Answers a response; state of the world repeats the names. */
  answer(response: AnyResponse, options: { names?: string[]; error?: string } = {}): void {
    const errorDetail =
      options.error === undefined ? {} : { errorDetail: create(StatusSchema, { code: 3, message: options.error }) };
    if (this.options.form === 'delta') {
      this.session.receive(
        create(DeltaDiscoveryRequestSchema, {
          typeUrl: response.typeUrl,
          responseNonce: response.nonce,
          ...errorDetail,
        }),
      );
      return;
    }
    this.session.receive(
      create(DiscoveryRequestSchema, {
        typeUrl: response.typeUrl,
        responseNonce: response.nonce,
        resourceNames: options.names ?? [],
        ...errorDetail,
      }),
    );
  }

  /** What was received since the last call, once the session has nothing more to do. */
  async take(): Promise<AnyResponse[]> {
    for (let turns = 0; turns < 12; turns++) await new Promise((resolve) => setImmediate(resolve));
    return this.received.splice(0);
  }

  /** `take()` as lines. */
  async lines(): Promise<string[]> {
    return (await this.take()).map(describeResponse);
  }
}
