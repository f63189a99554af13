// Exchange: its upstream half: attempts at endpoints, and what comes back from them.

import * as L from '@lateen/filters-wasm';
import type { DrainListener } from '../codec/message-writer.js';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import type { ConnectionPool } from '../upstream/connection-pool.js';
import type { Endpoint } from '../upstream/endpoint.js';
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
  VIA_UPSTREAM_DETAILS,
} from './local-reply.js';
import { Mirroring } from './mirrors/mirroring.js';
import { FLAG } from './response-flags.js';
import { endsWithConnection } from './response-writer.js';
import { isRetriableResponse } from './retries/attempts.js';
import { isRetriableFailure } from './retries/retry-policy.js';

const EARLY_HINTS = 103;

export abstract class ForwardingExchange
  extends AnsweringExchange
  implements UpstreamRequest, DrainListener, SearchingRequest
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

  // ---- To the upstream -----------------------------------------------------------------------------------------------

  /** Writes the head for the cluster, and keeps what is here of the body; false where that was answered with an error. */
  protected prepare(headLength: number, bodyAddress: number, bodyLength: number): boolean {
    const { client } = this;
    this.clusterSlot = this.path.core.i32[L.ROUTE_CLUSTER >> 2]!;
    this.requestBodyBytes = bodyLength;
    this.attempts.hash(this.policy, client);
    if (!this.kept.writeHead(headLength, this.listenerRecord, client.record, this.clusterSlot)) {
      this.replyLocally(HEAD_TOO_LARGE);
      return false;
    }
    this.attempts.begin(this.policy, client.chain.retryBufferBytes);
    this.kept.add(bodyAddress, bodyLength, null);
    this.timers.begin(this.policy);
    return true;
  }

  protected forward(): void {
    const { core } = this.path;
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
    const authority = headerValue(this.kept.headText(), 'host') ?? '';
    this.search.begin(this.clusterSlot, authority);
    if (this.heldBack && !this.requestComplete) this.client.pauseRequest();
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

  // ---- From the upstream ---------------------------------------------------------------------------------------------

  onUpstreamReady(upstream: UpstreamStream): void {
    this.upstream = upstream;
    this.endpoint?.outlier?.connected();
    this.upstreamSecurityId = upstream.securityId;
    if (this.log !== null) this.upstreamLocalAddress = upstream.localAddressText;
    this.kept.sendTo(upstream.writer, !this.terminates);
    if (this.requestComplete && !this.tunnels) upstream.writer.endMessage();
    else this.client.resumeRequest();
  }

  onUpstreamFailed(failure: UpstreamFailure, reason: string, freshConnection: boolean): void {
    // A limit of the cluster says nothing about the endpoint.
    if (failure !== 'overflow') this.endpoint?.outlier?.failedLocally(failure === 'timeout');
    this.releaseEndpoint(false);
    this.upstream = null;
    this.failureReason = reason;
    if (this.responseStarted) {
      const reset = failure === 'reset' || failure === 'refused';
      this.flags |= reset ? FLAG.UR : FLAG.UC;
      this.details = `upstream_reset_after_response_started{${reset ? 'remote_reset' : 'connection_termination'}}`;
      if (this.endsWithConnection || this.connect) this.client.responseTruncated();
      this.finish(true);
      this.client.abort();
      return;
    }
    if (this.policy !== 0 && this.kept.replayable) {
      const covered = isRetriableFailure(this.path.core, this.policy, failure, freshConnection, this.method);
      if (covered && this.attempts.take(this.clusterSlot)) {
        // The race with a server that closes idle connections says nothing about its health: no back-off.
        const stale = failure === 'closed' && !freshConnection;
        this.timers.retryAfter(stale ? 0 : this.attempts.nextBackoffMs(this.policy));
        return;
      }
    }
    this.replyLocally(upstreamReset(failure, reason, this.attempts.count > 1));
  }

  /** 103 is for the client (RFC 8297); 100 it has had from us, and HTTP/1.0 knows none of them. */
  onInterimHead(): void {
    const http10 = (this.downstreamFlags & L.DOWNSTREAM_HTTP_10) !== 0;
    if (this.path.core.i32[L.RESP_STATUS >> 2] === EARLY_HINTS && !http10) this.writer.writeInterim(this);
  }

  onResponseHead(status: number): boolean {
    const { i32, wasm } = this.path.core;
    const { count, anyLeft } = this.attempts;
    this.endpoint?.outlier?.answered(status, i32[L.RESP_GRPC_STATUS >> 2]!);
    if ((count > 1 || anyLeft) && isRetriableResponse(this.path.core, this.policy, status)) {
      if (this.requestComplete && this.kept.replayable && this.attempts.take(this.clusterSlot)) {
        this.releaseEndpoint(status < 500);
        this.upstream = null;
        this.timers.retryAfter(this.attempts.backoffAfterResponseMs(this.policy));
        return true;
      }
      if (count > 1) this.flags |= FLAG.URX;
    }
    this.responseStarted = true;
    this.endsWithConnection = !this.client.framesMessages && endsWithConnection(this.path.core, this.responseChunkMode);
    if (this.endsWithConnection) this.client.closeAfterResponse();
    this.status = status;
    this.details = VIA_UPSTREAM_DETAILS;
    // What the proxy answers for the other end of a tunnel is nobody's service.
    if (!this.connect && (!this.terminates || this.requestComplete)) {
      this.serviceTimeMs = Math.round(
        this.path.clock.nowMs - (this.requestComplete ? this.requestCompleteMs : this.startMs),
      );
    }
    this.timers.endAttempt();
    const peerLength = i32[L.RESP_PEER_METADATA_LENGTH >> 2]!;
    if (this.client.chain.peerFromResponse && peerLength > 0) {
      this.peer = wasm.internPeer(i32[L.RESP_PEER_METADATA_OFFSET >> 2]!, peerLength, this.peer);
    }
    this.grpcStatus = i32[L.RESP_GRPC_STATUS >> 2]!;
    if (this.log === null) this.kept.release((this.upstream as UpstreamStream).writer);
    return false;
  }

  onResponseBytes(address: number, length: number, isFirst: boolean): void {
    const { writer } = this.client;
    this.responseBodyBytes += length;
    if (this.countsMessages) this.responseMessages?.add(this.path.core.bytes, address, length);
    if (isFirst) this.writer.writeHead(this, address, length);
    else {
      this.lastActiveMs = this.path.clock.nowMs;
      writer.writeCopy(address, length);
    }
    if (writer.backedUp && this.upstream !== null) {
      this.upstream.pause();
      writer.notifyDrained(this);
    }
  }

  /** The client has taken most of what was written: read on from the upstream. */
  onDrained(): void {
    this.upstream?.resume();
  }

  /** A 101, or a 2xx to CONNECT, was written: from here on bytes flow both ways, until both sides have ended. */
  onTunnel(): void {
    this.kept.stopKeeping();
    this.client.beginTunnel();
  }

  /** The client has ended its side of the tunnel: the upstream may still have something to say. */
  endFromClient(): void {
    const { upstream } = this;
    if (upstream === null) return;
    this.clientEnded = true;
    if (this.upstreamEnded) this.endTunnel(upstream);
    else upstream.endTunnel();
  }

  /** A WebSocket whose server has ended is over, as in Envoy; what was sent is still read. By CONNECT the client may go on. */
  onTunnelEnd(): void {
    if (!this.connect || this.clientEnded) this.endTunnel(this.upstream as UpstreamStream);
    else {
      this.upstreamEnded = true;
      this.client.endTunnel();
    }
  }

  private endTunnel(upstream: UpstreamStream): void {
    this.onResponseEnd(upstream.wireBytes);
    if (this.connect) upstream.leaveTunnel();
    else upstream.close();
  }

  onResponseTrailers(address: number, length: number): void {
    const status = this.path.core.i32[L.RESP_GRPC_STATUS >> 2]!;
    if (status >= 0) this.grpcStatus = status;
    this.client.writer.writeTrailers(address, length);
  }

  onResponseEnd(wireBytes: number): void {
    const upstream = this.upstream as UpstreamStream;
    this.responseWireBytes = wireBytes;
    if (this.log !== null) {
      this.sentHead = this.kept.headText();
      this.kept.release(upstream.writer);
    }
    this.upstream = null;
    this.releaseEndpoint(this.status < 500);
    this.client.writer.endMessage();
    this.finish(!this.requestComplete || this.client.closing);
  }

  // ---- End -----------------------------------------------------------------------------------------------------------

  /** Ends the exchange with an answer of our own, or by cutting the connection where the response has begun. */
  fail(reply: LocalReply): void {
    this.dropUpstream();
    if (!this.responseStarted) {
      this.replyLocally(reply);
      return;
    }
    this.flags |= reply.flags;
    this.details = reply.details;
    this.finish(true);
    this.client.abort();
  }

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

  private releaseEndpoint(success: boolean): void {
    const { endpoint } = this;
    if (endpoint === null || !this.endpointHeld) return;
    this.endpointHeld = false;
    this.path.core.wasm.endpointEnd(endpoint.slot);
    if (success) endpoint.stats.rqSuccess++;
    else endpoint.stats.rqError++;
  }
}
