// ADS client, state-of-the-world form: one type's names, version and nonce.
// Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

import { create } from '@bufbuild/protobuf';
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { createStatus, decodeAll, errorDetail, judge, type TypeState } from './client-type-state.js';
import type { TypeSubscription } from './client-types.js';

export class SotwTypeState<T> implements TypeState<DiscoveryRequest, DiscoveryResponse> {
  readonly status;
  #names = new Set<string>();
  #sentNames: Set<string> | undefined;
  /** Nonce of the last response that was answered: one that is being judged is not acknowledged by a change of names. */
  #nonce = '';
  #judging = 0;
  /** Names that the subscriber holds; a full list that lacks one of them removes it. */
  readonly #held: Set<string>;

  constructor(
    private readonly subscription: TypeSubscription<T>,
    heldVersions: ReadonlyMap<string, string> = new Map(),
  ) {
    this.status = createStatus(subscription.typeUrl);
    this.#held = new Set(heldVersions.keys());
  }

  opened(): DiscoveryRequest | undefined {
    this.#nonce = '';
    this.#judging = 0;
    this.#sentNames = undefined;
    // An empty list in a first request means "everything", so a named subscription without names stays silent.
    if (this.subscription.mode === 'named' && this.#names.size === 0) return undefined;
    return this.#request();
  }

  closed(): void {
    this.#sentNames = undefined;
  }

  setNames(names: Iterable<string>): void {
    this.#names = new Set(names);
    if (this.subscription.mode === 'wildcard') return;
    for (const name of this.#held) if (!this.#names.has(name)) this.#held.delete(name);
  }

  namesRequest(): DiscoveryRequest | undefined {
    // While a response is judged its answer will carry the names.
    if (this.#judging > 0) return undefined;
    if (this.#sentNames === undefined ? this.#names.size === 0 : sameNames(this.#sentNames, this.#names))
      return undefined;
    return this.#request();
  }

  async received(response: DiscoveryResponse): Promise<DiscoveryRequest> {
    const { typeUrl, mode } = this.subscription;
    this.#judging++;
    const { upserts: decoded, rejected } = decodeAll(
      this.subscription,
      response.resources.map((any) => ({ name: undefined, version: response.versionInfo, any })),
    );
    // What was unsubscribed meanwhile is nobody's any more.
    const upserts = mode === 'named' ? decoded.filter(({ name }) => this.#names.has(name)) : decoded;
    const listed = new Set([...upserts.map(({ name }) => name), ...rejected.map(({ resourceName }) => resourceName)]);
    // Only wildcard lists are full; and one with a nameless fault may hold anything, so nothing is removed by it.
    const removed = mode === 'wildcard' && !listed.has('') ? [...this.#held].filter((name) => !listed.has(name)) : [];
    const update = { typeUrl, version: response.versionInfo, upserts, removed, rejected };
    const problems = await judge(this.subscription, update, this.status);
    const bad = new Set(problems.map(({ resourceName }) => resourceName));
    for (const name of removed) if (!bad.has(name)) this.#held.delete(name);
    for (const { name } of upserts) if (!bad.has(name)) this.#held.add(name);
    this.#judging = Math.max(0, this.#judging - 1);
    this.#nonce = response.nonce;
    return this.#request(errorDetail(typeUrl, problems));
  }

  #request(error?: ReturnType<typeof errorDetail>): DiscoveryRequest {
    this.#sentNames = new Set(this.#names);
    return create(DiscoveryRequestSchema, {
      typeUrl: this.subscription.typeUrl,
      versionInfo: this.status.version,
      responseNonce: this.#nonce,
      resourceNames: [...this.#names],
      errorDetail: error,
    });
  }
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
