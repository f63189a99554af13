// ADS client, incremental form: one type's names and the versions that it holds.
// Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#incremental-xds

import { create } from '@bufbuild/protobuf';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import {
  createStatus,
  decodeAll,
  type Envelope,
  errorDetail,
  judge,
  StandingRefusals,
  type TypeState,
  WILDCARD,
} from './client-type-state.js';
import type { TypeSubscription } from './client-types.js';

export class DeltaTypeState<T> implements TypeState<DeltaDiscoveryRequest, DeltaDiscoveryResponse> {
  readonly status;
  #names = new Set<string>();
  /** Names that the server knows of on the open stream; undefined before the first request of a stream. */
  #sentNames: Set<string> | undefined;
  #open = false;
  /** Accepted version by name: told to the server at the next stream, so that only differences travel. */
  readonly #versions: Map<string, string>;
  readonly #refusals = new StandingRefusals();

  constructor(
    private readonly subscription: TypeSubscription<T>,
    heldVersions: ReadonlyMap<string, string> = new Map(),
  ) {
    this.status = createStatus(subscription.typeUrl);
    this.#versions = new Map(heldVersions);
  }

  opened(): DeltaDiscoveryRequest | undefined {
    this.#open = true;
    this.#sentNames = undefined;
    // An empty first request means "everything", so a named subscription without names stays silent.
    if (this.subscription.mode === 'named' && this.#names.size === 0) return undefined;
    return this.#firstRequest();
  }

  closed(): void {
    this.#open = false;
    this.#sentNames = undefined;
    this.#refusals.closed();
  }

  setNames(names: Iterable<string>): void {
    this.#names = new Set(names);
    if (this.subscription.mode === 'wildcard') return;
    for (const name of this.#versions.keys()) if (!this.#names.has(name)) this.#versions.delete(name);
    this.#refusals.keep(this.#names);
  }

  namesRequest(): DeltaDiscoveryRequest | undefined {
    if (!this.#open) return undefined;
    if (this.#sentNames === undefined) return this.#names.size === 0 ? undefined : this.#firstRequest();
    const subscribe = [...this.#names].filter((name) => !this.#sentNames?.has(name));
    const unsubscribe = [...this.#sentNames].filter((name) => !this.#names.has(name));
    if (subscribe.length === 0 && unsubscribe.length === 0) return undefined;
    this.#sentNames = new Set(this.#names);
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl: this.subscription.typeUrl,
      resourceNamesSubscribe: subscribe,
      resourceNamesUnsubscribe: unsubscribe,
    });
  }

  async received(response: DeltaDiscoveryResponse): Promise<DeltaDiscoveryRequest> {
    const { typeUrl, mode } = this.subscription;
    const envelopes: Envelope[] = [];
    for (const { name, version, resource } of response.resources) {
      // Without a body it is a heartbeat of a resource with a time to live, which says that nothing changed. Times to
      // live are not kept: a resource stays until the server changes or removes it.
      if (resource !== undefined) envelopes.push({ name, version, any: resource });
    }
    const { upserts: decoded, rejected } = decodeAll(this.subscription, envelopes);
    const wanted = (name: string) => mode === 'wildcard' || this.#names.has(name);
    const upserts = decoded.filter(({ name }) => wanted(name));
    const gone = [...response.removedResources, ...response.removedResourceNames.map(({ name }) => name)];
    const removed = gone.filter(wanted);
    const update = { typeUrl, version: response.systemVersionInfo, upserts, removed, rejected };
    const problems = await judge(this.subscription, update, this.status);
    const bad = new Set(problems.map(({ resourceName }) => resourceName));
    // A fault without a name refuses the whole update.
    if (!bad.has('')) {
      for (const name of removed) if (!bad.has(name)) this.#versions.delete(name);
      for (const { name, version } of upserts) if (!bad.has(name) && wanted(name)) this.#versions.set(name, version);
    }
    const judged = [...response.resources, ...removed.map((name) => ({ name, version: '' }))];
    const answered = { nonce: response.nonce, version: response.systemVersionInfo, full: false };
    this.#refusals.answered(answered, judged, problems);
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl,
      responseNonce: response.nonce,
      errorDetail: errorDetail(typeUrl, problems),
    });
  }

  withdraw(resourceName: string): boolean {
    const version = this.#refusals.withdraw(resourceName);
    if (version === undefined) return false;
    this.#versions.set(resourceName, version);
    if (this.#refusals.isEmpty) this.status.lastError = undefined;
    return true;
  }

  lateAck(): DeltaDiscoveryRequest | undefined {
    const settled = this.#refusals.takeSettled();
    if (settled === undefined || !this.#open) return undefined;
    this.status.version = settled.version;
    this.status.accepted++;
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl: this.subscription.typeUrl,
      responseNonce: settled.nonce,
    });
  }

  #firstRequest(): DeltaDiscoveryRequest {
    this.#sentNames = new Set(this.#names);
    return create(DeltaDiscoveryRequestSchema, {
      typeUrl: this.subscription.typeUrl,
      resourceNamesSubscribe: this.#firstNames(),
      initialResourceVersions: Object.fromEntries(this.#versions),
    });
  }

  /** Under a wildcard the list says `*` where it must not be empty: names alone would ask for these only. */
  #firstNames(): string[] {
    const { mode, explicitWildcard } = this.subscription;
    const names = [...this.#names];
    return mode === 'wildcard' && (explicitWildcard === true || names.length > 0) ? [WILDCARD, ...names] : names;
  }
}
