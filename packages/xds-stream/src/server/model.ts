// ADS server, what its users meet: sources of resources, admission of clients, events and status. Start reading here.

import type { Any } from '@bufbuild/protobuf/wkt';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';

/** The type of a request that is no subscription: how the application behind a proxy is. */
export const HEALTH_INFORMATION_TYPE_URL = 'type.googleapis.com/istio.v1.HealthInformation';

/** One resource as it is sent. `version` changes whenever `any` does; equal versions mean equal bytes. */
export interface ResourceEntry {
  readonly version: string;
  readonly any: Any;
}

/** Resources of one type by name. */
export type ResourceSet = ReadonlyMap<string, ResourceEntry>;

/** Everything that one client may see at one moment. Never changed after it was handed over. */
export interface ServedSnapshot {
  /** Told to clients as version_info / system_version_info. */
  readonly version: string;
  /** By type URL. A type that is absent has no resources. */
  readonly resources: ReadonlyMap<string, ResourceSet>;
  /** When the change that led to this snapshot was seen (ms since the epoch); convergence is measured from here. */
  readonly createdAtMs?: number;
  /** Rises from one snapshot to the next, for {@link AdsService.standings}. */
  readonly revision?: number;
}

/** 'sotw' is StreamAggregatedResources, 'delta' is DeltaAggregatedResources. */
export type AdsForm = 'sotw' | 'delta';

/** A client that was let in. */
export interface AdsSubscriber {
  /** Unique for each stream of this process. */
  readonly streamId: string;
  readonly node: Node;
  /** Remote address, "127.0.0.1:54321". */
  readonly peer: string;
  readonly form: AdsForm;
  readonly connectedAtMs: number;
}

/** What one client is served from. */
export interface ResourceView {
  /** The newest snapshot, or undefined while there is none: then nothing is sent at all, not even an empty set. */
  current(): ServedSnapshot | undefined;
  /** What the client subscribes to by name, after each request; for views that hold nothing before it is asked for. */
  onSubscribed?(typeUrl: string, names: ReadonlySet<string>): void;
  /** The client is gone. */
  close(): void;
}

/** Gives each client its own view. */
export interface ResourceSource {
  /**
   * Called once for each stream, after its client was let in.
   * @param onChange to be called when `current()` has something newer; cheap, may be called often: only the newest
   *   snapshot is ever looked at
   */
  open(client: AdsSubscriber, onChange: () => void): ResourceView;
}

/** How resources of one type are ordered and sent. */
export interface ServedType {
  readonly typeUrl: string;
  /**
   * State of the world: every response carries all subscribed resources (LDS, CDS), so that absence means removal.
   * Otherwise it carries only those that changed or were asked for (EDS, RDS).
   */
  readonly fullSet: boolean;
  /** Is held back until the types of `waitsFor` are settled: all sent and answered, rejected, or out of time. */
  readonly waitsFor: readonly string[];
  /** Removed resources stay until every ordered type is settled and the grace time is over (make before break). */
  readonly removeLast: boolean;
  /** Resources of another type that are sent again whenever one of this type is (clusters: their endpoints). */
  readonly refreshes?: { readonly typeUrl: string; readonly namesOf: (entry: ResourceEntry) => readonly string[] };
}

/** A client's credentials at the moment of its first request. */
export interface AdsPeer {
  readonly address: string;
  /** For its auth context (`call.getAuthContext()`) and metadata. */
  readonly call: ServerDuplexStream<unknown, unknown>;
}

/** Why a client is refused: becomes the gRPC status (default PERMISSION_DENIED). */
export interface AdsRefusal {
  readonly refused: string;
  /** A code of `grpc.status`. */
  readonly code?: number;
}

/** One response, for events. */
export interface AdsResponseEvent {
  readonly client: AdsSubscriber;
  readonly typeUrl: string;
  readonly nonce: string;
  readonly version: string;
  readonly resourceNames: readonly string[];
  readonly removedNames: readonly string[];
}

export interface AdsEvents {
  onConnect?(client: AdsSubscriber): void;
  onDisconnect?(client: AdsSubscriber): void;
  /** A client was not let in. */
  onRefused?(peerAddress: string, node: Node | undefined, reason: string): void;
  /**
   * A response was written. `pushMs`: since the newest snapshot was taken up for this client, making its view included;
   * undefined when the client already had that snapshot and asked for something.
   */
  onSent?(event: AdsResponseEvent & { readonly pushMs: number | undefined }): void;
  onAck?(event: AdsResponseEvent & { readonly elapsedMs: number }): void;
  onNack?(event: AdsResponseEvent & { readonly elapsedMs: number; readonly error: string }): void;
  /**
   * The client tells how the application behind it is, as Istio's agents do: by a request of the type
   * {@link HEALTH_INFORMATION_TYPE_URL}, which is never answered. `fault` is undefined where it is well.
   */
  onHealthReport?(client: AdsSubscriber, fault: string | undefined): void;
  /** Everything of this snapshot that the client subscribed to was sent and answered. `elapsedMs` since it was created. */
  onConverged?(client: AdsSubscriber, snapshot: ServedSnapshot, elapsedMs: number): void;
  /** The client did not answer in time; what waited for it goes on. */
  onAckTimeout?(event: AdsResponseEvent): void;
  /** The stream ended by an error of the transport or by a request that makes no sense. */
  onStreamError?(client: AdsSubscriber | undefined, message: string): void;
}

export interface AdsServiceOptions {
  readonly source: ResourceSource;
  /** In push order. Types that are not listed are answered as empty. */
  readonly types: readonly ServedType[];
  /** Lets a client in (undefined) or says why not. Runs before anything is sent. */
  readonly authorize: (
    peer: AdsPeer,
    node: Node | undefined,
  ) => AdsRefusal | undefined | Promise<AdsRefusal | undefined>;
  readonly events?: AdsEvents;
  /** How long a missing ACK holds back what waits for it. Default 5000. */
  readonly ackTimeoutMs?: number;
  /** How long removed resources stay after everything else is settled. Default 1500. */
  readonly removalGraceMs?: number;
  /** Told to clients as control_plane.identifier. */
  readonly controlPlaneId?: string;
}

export type AdsTypeStatus = 'SYNCED' | 'STALE' | 'NOT SENT' | 'NACK';

/** What one client was sent of one type. */
export interface AdsTypeReport {
  readonly typeUrl: string;
  readonly status: AdsTypeStatus;
  readonly wildcard: boolean;
  readonly subscribedNames: readonly string[];
  readonly sentVersion: string;
  readonly sentNonce: string;
  readonly ackedVersion: string;
  readonly ackedNonce: string;
  /** Text of the last NACK while the last response stands rejected. */
  readonly error?: string;
  /** What the client holds (or was last sent), by name. */
  readonly resources: ResourceSet;
}

export interface AdsSubscriberReport {
  readonly client: AdsSubscriber;
  readonly types: readonly AdsTypeReport[];
}

/** How a client stands with everything up to a revision. */
export type AdsStanding =
  /** What of it concerns the client was sent and acknowledged. */
  | { readonly state: 'taken' }
  /** No answer yet, of these types; none where the client was not sent it yet. */
  | { readonly state: 'pending'; readonly typeUrls: readonly string[] }
  | { readonly state: 'refused'; readonly refusals: readonly { readonly typeUrl: string; readonly error: string }[] };

export interface AdsClientStanding {
  readonly client: AdsSubscriber;
  readonly standing: AdsStanding;
}

/** Serves one of Envoy's discovery services. Register it with `server.addService(ads.definition, ads.implementation)`. */
export interface AdsService {
  readonly definition: import('@grpc/grpc-js').ServiceDefinition;
  readonly implementation: import('@grpc/grpc-js').UntypedServiceImplementation;
  /** All connected clients. */
  clients(): readonly AdsSubscriberReport[];
  /** How each connected client stands with the snapshots up to a revision; cheap. */
  standings(revision: number): readonly AdsClientStanding[];
  /** Ends every stream with UNAVAILABLE, so that clients reconnect elsewhere or later. */
  close(): void;
}
