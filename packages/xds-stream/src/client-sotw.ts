// ADS client, state-of-the-world form: one type's names, version and nonce.
// Rules: https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol

import { create } from '@bufbuild/protobuf';
import { anyIs, unpackAny } from '@lateen/xds-proto';
import {
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
  ResourceSchema,
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

export class SotwTypeState<T> implements TypeState<DiscoveryRequest, DiscoveryResponse> {
  readonly status;
  #names = new Set<string>();
  #sentNames: Set<string> | undefined;
  /** Nonce of the last response that was answered: one that is being judged is not acknowledged by a change of names. */
  #nonce = '';
  #judging = 0;
  /** Names that the subscriber holds; a full list that lacks one of them removes it. */
  readonly #held: Set<string>;
  readonly #refusals = new StandingRefusals();
  /** Names were sent on the open stream: from then on an empty list means "nothing". */
  #explicit = false;

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
    this.#explicit = this.subscription.explicitWildcard === true;
    this.#sentNames = undefined;
    // An empty list in a first request means "everything", so a named subscription without names stays silent.
    if (this.subscription.mode === 'named' && this.#names.size === 0) return undefined;
    return this.#request();
  }

  closed(): void {
    this.#sentNames = undefined;
    this.#refusals.closed();
  }

  setNames(names: Iterable<string>): void {
    this.#names = new Set(names);
    if (this.subscription.mode === 'wildcard') return;
    for (const name of this.#held) if (!this.#names.has(name)) this.#held.delete(name);
    this.#refusals.keep(this.#names);
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
    const { envelopes, heartbeats } = readEnvelopes(response);
    const { upserts: decoded, rejected } = decodeAll(this.subscription, envelopes);
    // What was unsubscribed meanwhile is nobody's any more.
    const upserts = mode === 'named' ? decoded.filter(({ name }) => this.#names.has(name)) : decoded;
    const listed = new Set([
      ...upserts.map(({ name }) => name),
      ...rejected.map(({ resourceName }) => resourceName),
      ...heartbeats,
    ]);
    // Only wildcard lists are full; and one with a nameless fault may hold anything, so nothing is removed by it.
    const removed = mode === 'wildcard' && !listed.has('') ? [...this.#held].filter((name) => !listed.has(name)) : [];
    const update = { typeUrl, version: response.versionInfo, upserts, removed, rejected };
    const problems = await judge(this.subscription, update, this.status);
    const bad = new Set(problems.map(({ resourceName }) => resourceName));
    for (const name of removed) if (!bad.has(name)) this.#held.delete(name);
    for (const { name } of upserts) if (!bad.has(name)) this.#held.add(name);
    this.#judging = Math.max(0, this.#judging - 1);
    this.#nonce = response.nonce;
    const answered = { nonce: response.nonce, version: response.versionInfo, full: mode === 'wildcard' };
    this.#refusals.answered(answered, decoded, problems);
    return this.#request(errorDetail(typeUrl, problems));
  }

  withdraw(resourceName: string): boolean {
    if (this.#refusals.withdraw(resourceName) === undefined) return false;
    this.#held.add(resourceName);
    if (this.#refusals.isEmpty) this.status.lastError = undefined;
    return true;
  }

  lateAck(): DiscoveryRequest | undefined {
    const settled = this.#refusals.takeSettled();
    // While a newer response is judged, its answer says more than one for this.
    if (settled === undefined || this.#judging > 0 || this.#sentNames === undefined) return undefined;
    this.status.version = settled.version;
    this.status.accepted++;
    return this.#request();
  }

  #request(error?: ReturnType<typeof errorDetail>): DiscoveryRequest {
    this.#sentNames = new Set(this.#names);
    if (this.#names.size > 0) this.#explicit = true;
    const wildcard = this.subscription.mode === 'wildcard' && this.#explicit;
    return create(DiscoveryRequestSchema, {
      typeUrl: this.subscription.typeUrl,
      versionInfo: this.status.version,
      responseNonce: this.#nonce,
      resourceNames: wildcard ? [WILDCARD, ...this.#names] : [...this.#names],
      errorDetail: error,
    });
  }
}

/**
 * The resources of a response. One with a time to live comes in an envelope, and a heartbeat as an envelope without a
 * resource: what it names is still there. Times to live are not kept.
 */
function readEnvelopes(response: DiscoveryResponse): { envelopes: Envelope[]; heartbeats: string[] } {
  const envelopes: Envelope[] = [];
  const heartbeats: string[] = [];
  for (const any of response.resources) {
    const version = response.versionInfo;
    if (!anyIs(any, ResourceSchema)) {
      envelopes.push({ name: undefined, version, any });
      continue;
    }
    try {
      const { name, resource } = unpackAny(any, ResourceSchema);
      if (resource === undefined) heartbeats.push(name);
      else envelopes.push({ name: name === '' ? undefined : name, version, any: resource });
    } catch {
      // Damaged bytes: the subscriber refuses it, since it is nothing that was asked for.
      envelopes.push({ name: undefined, version, any });
    }
  }
  return { envelopes, heartbeats };
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false;
  for (const name of a) if (!b.has(name)) return false;
  return true;
}
