// ADS client: one stream for all types; connects, subscribes, answers, and connects again. Generic over resource types.

import { create } from '@bufbuild/protobuf';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  DeltaDiscoveryRequestSchema,
  DiscoveryRequestSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { StatusSchema } from '@lateen/xds-proto/google/rpc/status_pb.js';
import { Backoff, type BackoffOptions } from './client-backoff.js';
import { DeltaTypeState } from './client-delta.js';
import { SotwTypeState } from './client-sotw.js';
import type { AdsTransport } from './client-transport.js';
import type { TypeState } from './client-type-state.js';
import type {
  ClientStream,
  ClientStreamEvents,
  SubscriptionHandle,
  TypeSubscription,
  XdsProtocol,
} from './client-types.js';
import { HEALTH_INFORMATION_TYPE_URL } from './server/model.js';

export interface AdsClientOptions {
  readonly transport: AdsTransport;
  readonly protocol: XdsProtocol;
  /** Sent with the first request of each stream. */
  readonly node: Node;
  /** Default: 200 ms growing to 3 s, so that a control plane that returns is used again within seconds. */
  readonly backoff?: BackoffOptions;
  /** Called when a stream is accepted by the server, and when it ends (with the reason and the wait until the next). */
  readonly onConnected?: () => void;
  readonly onDisconnected?: (reason: string, retryInMs: number) => void;
  /** Called for each NACK sent. */
  readonly onReject?: (typeUrl: string, message: string) => void;
}

/** Istio's agents use HTTP's 500 as the code. */
const UNHEALTHY = 500;

interface WireRequest {
  typeUrl: string;
  node?: Node | undefined;
}
interface WireResponse {
  readonly typeUrl: string;
}
type AnyTypeState = TypeState<WireRequest, WireResponse>;

/**
 * An ADS client. Subscribe every type first, then `start`: requests of a new stream go out in the order of subscription.
 * It never gives up; `close` ends it.
 */
export class AdsClient {
  readonly #types = new Map<string, AnyTypeState>();
  readonly #backoff: Backoff;
  #stream: ClientStream<WireRequest> | undefined;
  #nodeSent = false;
  #connected = false;
  #closed = false;
  #started = false;
  #retryTimer: NodeJS.Timeout | undefined;
  #onLeft: (() => void) | undefined;
  #health: { readonly fault: string | undefined } | undefined;

  constructor(private readonly options: AdsClientOptions) {
    this.#backoff = new Backoff(options.backoff ?? { initialMs: 200, maxMs: 3_000 });
  }

  /** True while a stream is accepted by the server. */
  get connected(): boolean {
    return this.#connected;
  }

  /**
   * Adds a type.
   * @param heldVersions versions by resource name that the subscriber already holds (kept on disk). In the incremental
   *   form they are told to the server, so that it sends the differences and what is gone; in the state-of-the-world
   *   form a held name that the first full list lacks is reported as removed
   */
  subscribe<T>(subscription: TypeSubscription<T>, heldVersions?: ReadonlyMap<string, string>): SubscriptionHandle {
    const { typeUrl } = subscription;
    if (this.#types.has(typeUrl)) throw new Error(`${typeUrl} is already subscribed on this client`);
    // The two forms differ in their message types only; a client speaks one of them all its life.
    const state = (this.options.protocol === 'sotw'
      ? new SotwTypeState(subscription, heldVersions)
      : new DeltaTypeState(subscription, heldVersions)) as unknown as AnyTypeState;
    this.#types.set(typeUrl, state);
    if (this.#stream !== undefined) this.#send(state.opened());
    return {
      status: state.status,
      setNames: (names) => {
        state.setNames(names);
        if (this.#stream !== undefined) this.#send(state.namesRequest());
      },
      withdrawRefusal: (resourceName) => {
        const refused = state.withdraw(resourceName);
        if (refused) this.#send(state.lateAck());
        return refused;
      },
    };
  }

  /**
   * Tells the control plane how the application behind this client is, now and on each new stream: as Istio's agents do,
   * by a request that is not answered. `fault` undefined: it is well.
   */
  reportHealth(fault: string | undefined): void {
    this.#health = { fault };
    this.#sendHealth();
  }

  /**
   * Tells the control plane that nobody should call the application behind this client any more, and ends the stream.
   * Resolves when the server has taken that, at the latest after `limitMs`; then `close` the client.
   */
  leave(fault: string, limitMs: number): Promise<void> {
    const stream = this.#stream;
    if (!this.#connected || stream === undefined) return Promise.resolve();
    this.reportHealth(fault);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, limitMs);
      this.#onLeft = () => {
        clearTimeout(timer);
        resolve();
      };
      stream.finish();
    });
  }

  /** Connects, now and whenever the stream ends. */
  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    this.#connect();
  }

  /** Ends the stream and the connection. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#retryTimer);
    this.#stream?.cancel();
    this.#stream = undefined;
    this.#connected = false;
    for (const state of this.#types.values()) state.closed();
    this.options.transport.close();
  }

  #connect(): void {
    this.#nodeSent = false;
    // Identity of this attempt: an event or a verdict of an older stream must not touch the present one.
    const attempt: { stream: ClientStream<WireRequest> | undefined; over: boolean } = {
      stream: undefined,
      over: false,
    };
    const current = () => !attempt.over && !this.#closed;
    const events: ClientStreamEvents<WireResponse> = {
      onOpen: () => {
        if (current()) this.#opened();
      },
      onMessage: (response) => {
        if (!current()) return;
        this.#opened();
        this.#backoff.reset();
        this.#received(response, current);
      },
      onEnd: (reason) => {
        if (!current()) return;
        attempt.over = true;
        this.#ended(reason);
      },
    };
    try {
      const { transport, protocol } = this.options;
      attempt.stream = (
        protocol === 'sotw' ? transport.openSotw(events) : transport.openDelta(events)
      ) as typeof attempt.stream;
    } catch (error) {
      // For example a key file that cannot be read at this moment.
      attempt.over = true;
      this.#ended((error as Error).message);
      return;
    }
    if (attempt.over) return;
    this.#stream = attempt.stream;
    for (const state of this.#types.values()) this.#send(state.opened());
    this.#sendHealth();
  }

  #sendHealth(): void {
    if (this.#health === undefined) return;
    const { fault } = this.#health;
    const errorDetail = fault === undefined ? undefined : create(StatusSchema, { code: UNHEALTHY, message: fault });
    const request = { typeUrl: HEALTH_INFORMATION_TYPE_URL, errorDetail };
    const { protocol } = this.options;
    this.#send(
      protocol === 'sotw' ? create(DiscoveryRequestSchema, request) : create(DeltaDiscoveryRequestSchema, request),
    );
  }

  #opened(): void {
    if (this.#connected) return;
    this.#connected = true;
    this.options.onConnected?.();
  }

  #ended(reason: string): void {
    this.#stream = undefined;
    this.#connected = false;
    for (const state of this.#types.values()) state.closed();
    if (this.#onLeft !== undefined) {
      this.#onLeft();
      return;
    }
    const retryInMs = this.#backoff.nextMs();
    this.options.onDisconnected?.(reason, retryInMs);
    this.#retryTimer = setTimeout(() => this.#connect(), retryInMs);
  }

  #received(response: WireResponse, current: () => boolean): void {
    const state = this.#types.get(response.typeUrl);
    // A type that nobody subscribed has no subscriber to judge it, and Envoy ignores it as well.
    if (state === undefined) return;
    const rejectedBefore = state.status.rejected;
    state.received(response).then((answer) => {
      if (state.status.rejected !== rejectedBefore) {
        this.options.onReject?.(response.typeUrl, state.status.lastError ?? '');
      }
      if (!current()) return;
      this.#send(answer);
      // Names that changed while the response was judged and that its answer did not carry.
      this.#send(state.namesRequest());
    });
  }

  #send(request: WireRequest | undefined): void {
    if (request === undefined || this.#stream === undefined) return;
    if (!this.#nodeSent) {
      request.node = this.options.node;
      this.#nodeSent = true;
    }
    this.#stream.send(request);
  }
}
