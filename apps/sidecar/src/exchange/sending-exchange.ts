// Exchange: what it sends: attempts at endpoints, of a request that is kept for the next one.

import * as L from '@lateen/filters-wasm';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { Destination } from '../transport/system/original-destination.js';
import type { ConnectionPool } from '../upstream/connection-pool.js';
import type { Endpoint } from '../upstream/endpoint.js';
import type { AskedHost } from '../upstream/requested/requested-endpoints.js';
import type { UpstreamRequest } from '../upstream/upstream-request.js';
import type { UpstreamStream } from '../upstream/upstream-stream.js';
import type { ProxyVersion } from '../upstream/upstream-transport.js';
import { headerValue } from './access-log-entry.js';
import { AnsweringExchange } from './answering-exchange.js';
import { HostSearch, type SearchingRequest } from './filters/host-search.js';
import { tunnelProxyVersion } from './filters/upgrades.js';
import {
  HEAD_TOO_LARGE,
  type LocalReply,
  NO_HEALTHY_UPSTREAM,
  notPicked,
  type UpstreamFailure,
  upstreamReset,
} from './local-reply.js';
import { Mirroring } from './mirrors/mirroring.js';
import { isRetriableFailure } from './retries/retry-policy.js';

export abstract class SendingExchange
  extends AnsweringExchange
  implements UpstreamRequest, SearchingRequest, AskedHost
{
  nextPending: UpstreamRequest | null = null;
  pendingOn: ConnectionPool | null = null;
  protected upstream: UpstreamStream | null = null;
  /** Held back on purpose: prepared, and not yet forwarded. */
  protected heldBack = false;
  private endpointHeld = false;
  private search: HostSearch | null = null;
  /** Null until a request has a mirror. */
  protected mirroring: Mirroring | null = null;

  get secure(): boolean {
    return this.client.secure === 1;
  }

  get http2(): boolean {
    return this.client.framesMessages;
  }

  get proxyVersion(): ProxyVersion {
    return this.terminates ? tunnelProxyVersion(this.path.core, this.policy) : 0;
  }

  /** What follows the head is a tunnel's, once that is there. */
  protected get tunnels(): boolean {
    return this.upgrade || this.connect;
  }

  get bodyChunked(): boolean {
    return this.kept.chunked;
  }

  /** An endpoint has the request, and has not answered yet. */
  protected get waitsForAnswer(): boolean {
    return this.endpointHeld && !this.responseStarted;
  }

  // What becomes of the request at its upstream: forwarding-exchange.ts.
  abstract onUpstreamReady(upstream: UpstreamStream): void;
  abstract onUpstreamFailed(failure: UpstreamFailure, reason: string, freshConnection: boolean): void;
  abstract onInterimHead(): void;
  abstract onResponseHead(status: number): boolean;
  abstract onResponseBytes(address: number, length: number, isFirst: boolean): void;
  abstract onTunnel(): void;
  abstract onTunnelEnd(): void;
  abstract onResponseTrailers(address: number, length: number): void;
  abstract onResponseEnd(wireBytes: number): void;
  abstract fail(reply: LocalReply): void;

  // ---- To the upstream -----------------------------------------------------------------------------------------------

  /** Writes the head for the cluster, and keeps what is here of the body; false where that was answered with an error. */
  protected prepare(headLength: number, bodyAddress: number, bodyLength: number): boolean {
    const { client } = this;
    this.clusterSlot = this.path.core.i32[L.ROUTE_CLUSTER >> 2]!;
    this.requestBodyBytes = bodyLength;
    this.attempts.hash(this.policy, client);
    const { web } = this;
    const length = web === null ? headLength : web.translateRequest(this.path.core, this.listenerRecord, client.record);
    if (length <= 0 || !this.kept.writeHead(length, this.listenerRecord, client.record, this.clusterSlot)) {
      this.replyLocally(HEAD_TOO_LARGE);
      return false;
    }
    this.attempts.begin(this.policy, client.chain.retryBufferBytes);
    if (web === null) this.kept.add(bodyAddress, bodyLength, null);
    else if (!web.passRequest(this.path.core, bodyAddress, bodyLength, this.requestComplete, this)) {
      this.replyLocally(web.refusal);
      return false;
    }
    this.timers.begin(this.policy);
    return true;
  }

  /** Bytes of the request's body, for the upstream and for mirrors. */
  addBody(address: number, length: number): void {
    this.mirroring?.add(address, length);
    this.kept.add(address, length, this.upstream === null ? null : this.upstream.writer);
  }

  protected forward(): void {
    const { core } = this.path;
    this.asksCluster = true;
    const slot = this.attempts.pickFirst(this.clusterSlot);
    if (slot === L.PICK_ORIGINAL_DESTINATION && this.path.forwardHosts[this.clusterSlot] !== undefined) {
      this.searchHost();
      return;
    }
    if (slot < 0) {
      this.replyLocally(notPicked(core, this.policy, slot));
      return;
    }
    this.forwardTo(slot);
  }

  /** The cluster leaves it to the request where it goes. */
  private searchHost(): void {
    this.search ??= new HostSearch(this.path, this);
    this.heldBack = true;
    this.search.begin(this.clusterSlot, this);
    if (this.heldBack && !this.requestComplete) this.client.pauseRequest();
  }

  authority(): string {
    return this.header('host') ?? '';
  }

  destination(): Destination | undefined {
    return this.client.destination;
  }

  header(name: string): string | undefined {
    return headerValue(this.kept.headText(), name);
  }

  onHostFound({ slot }: Endpoint): void {
    this.heldBack = false;
    this.forwardTo(slot);
  }

  onNoHost(reply: LocalReply): void {
    this.heldBack = false;
    this.replyLocally(reply);
  }

  private forwardTo(slot: number): void {
    const { core } = this.path;
    // A tunnel that ends here is a connection of its cluster, and no request.
    this.holdsRequestUnit = !this.terminates;
    if (this.holdsRequestUnit && core.wasm.acquire(this.clusterSlot, L.LIMIT_REQUESTS) === 0) {
      this.holdsRequestUnit = false;
      this.replyLocally(upstreamReset('overflow', '', false));
      return;
    }
    if (this.policy !== 0 && core.i32[(this.policy + L.POLICY_MIRRORS) >> 2] !== 0 && !this.tunnels) {
      this.mirroring ??= new Mirroring(this.path);
      this.mirroring.begin(this.policy, this.kept, this.timers.routeMs, this);
    }
    if (this.requestComplete) this.completeRequest();
    this.useEndpoint(slot);
    if (!this.requestComplete && this.upstream === null && this.active) this.client.pauseRequest();
  }

  private useEndpoint(slot: number): void {
    const endpoint = this.path.endpoints[slot];
    if (endpoint === undefined) {
      this.replyLocally(NO_HEALTHY_UPSTREAM);
      return;
    }
    this.endpoint = endpoint;
    this.attempts.note(slot);
    this.endpointHeld = true;
    this.path.core.wasm.endpointBegin(slot);
    if (this.peer === 0 && !this.client.chain.inbound) this.peer = endpoint.workloadPeer;
    this.timers.beginAttempt(this.policy);
    endpoint.acquire(this);
  }

  get clientAddresses(): PresentedAddresses | undefined {
    return this.client.addresses;
  }

  protected completeRequest(): void {
    this.requestComplete = true;
    this.requestCompleteMs = this.path.clock.nowMs;
    // The route's time begins when the request leaves, so not while it is held back.
    if (this.heldBack) return;
    // A tunnel has no end that it could run to.
    if (!this.tunnels) this.timers.requestComplete();
    this.mirroring?.end();
  }

  protected retryAfterTimeout(): boolean {
    const { policy } = this;
    if (policy === 0 || this.responseStarted || !this.kept.replayable) return false;
    if (!isRetriableFailure(this.path.core, policy, 'timeout', true, this.method)) return false;
    if (!this.attempts.take(this.clusterSlot)) return false;
    this.dropUpstream();
    this.timers.retryAfter(this.attempts.nextBackoffMs(policy));
    return true;
  }

  protected tryAgain(): void {
    const picked = this.attempts.pickNext(this.policy, this.clusterSlot);
    // Where the request says where it goes, it says the same again.
    const slot = picked === L.PICK_ORIGINAL_DESTINATION && this.endpoint !== null ? this.endpoint.slot : picked;
    if (slot < 0) {
      this.replyLocally(notPicked(this.path.core, this.policy, slot));
      return;
    }
    const policyFlags = this.path.core.i32[(this.policy + L.POLICY_FLAGS) >> 2]!;
    if ((policyFlags & L.POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST) !== 0) this.kept.setAttempt(this.attempts.count + 1);
    this.useEndpoint(slot);
  }

  // ---- End -----------------------------------------------------------------------------------------------------------

  /** Lets go of the upstream without waiting for its answer. */
  protected dropUpstream(): void {
    this.search?.cancel();
    this.timers.stopRetry();
    this.pendingOn?.abandon(this);
    const upstream = this.upstream;
    this.upstream = null;
    if (upstream !== null) {
      this.responseWireBytes = upstream.wireBytes;
      upstream.close();
    }
    this.releaseEndpoint(false);
  }

  protected override finish(close: boolean): void {
    this.mirroring?.cancel();
    super.finish(close);
  }

  protected releaseEndpoint(success: boolean): void {
    const { endpoint } = this;
    if (endpoint === null || !this.endpointHeld) return;
    this.endpointHeld = false;
    this.path.core.wasm.endpointEnd(endpoint.slot);
    if (success) endpoint.stats.rqSuccess++;
    else endpoint.stats.rqError++;
  }
}
