// Exchange: what comes back from its upstream.

import * as L from '@lateen/filters-wasm';
import type { DrainListener } from '../codec/message-writer.js';
import { clusterCounts } from '../observe/cluster-counts.js';
import type { UpstreamStream } from '../upstream/upstream-stream.js';
import { type LocalReply, type UpstreamFailure, upstreamReset, VIA_UPSTREAM_DETAILS } from './local-reply.js';
import { FLAG } from './response-flags.js';
import { endsWithConnection } from './response-writer.js';
import { isRetriableResponse } from './retries/attempts.js';
import { isRetriableFailure } from './retries/retry-policy.js';
import { SendingExchange } from './sending-exchange.js';

const EARLY_HINTS = 103;

export abstract class ForwardingExchange extends SendingExchange implements DrainListener {
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

  /** RESP_* is filled: what filters of requests have to say about the answer. */
  protected abstract changeAnswer(): void;

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
    } else if (count > 1) {
      const counts = clusterCounts(this.path, this.clusterSlot);
      if (counts !== null) counts.retrySuccess++;
    }
    const { web } = this;
    if (web !== null && !web.translateAnswer(this.path.core, this)) {
      this.releaseEndpoint(false);
      this.upstream = null;
      this.replyLocally(upstreamReset('protocol', '', count > 1));
      return true;
    }
    this.changeAnswer();
    this.responseStarted = true;
    this.endsWithConnection =
      !this.client.framesMessages &&
      web?.holdsHead !== true &&
      endsWithConnection(this.path.core, web === null ? this.responseChunkMode : web.chunkMode);
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
    if (this.web !== null) {
      if (isFirst && !this.web.holdsHead) this.writer.writeHead(this, address, 0);
      this.lastActiveMs = this.path.clock.nowMs;
      this.responseBodyBytes += this.web.passAnswer(this.path.core, address, length, writer);
      this.slowDown();
      return;
    }
    this.responseBodyBytes += length;
    if (this.countsMessages) this.responseMessages?.add(this.path.core.bytes, address, length);
    if (isFirst) this.writer.writeHead(this, address, length);
    else {
      this.lastActiveMs = this.path.clock.nowMs;
      writer.writeCopy(address, length);
    }
    this.slowDown();
  }

  /** Reading from the upstream stops while the client has much to take. */
  private slowDown(): void {
    const { writer } = this.client;
    if (!writer.backedUp || this.upstream === null) return;
    this.upstream.pause();
    writer.notifyDrained(this);
  }

  /** The client has taken most of what was written: read on from the upstream. */
  onDrained(): void {
    this.upstream?.resume();
  }

  /** A 101, or a 2xx to CONNECT, was written: from here on bytes flow both ways, until both sides have ended. */
  onTunnel(): void {
    this.kept.stopKeeping();
    if (this.connect && this.terminates) this.path.tunnels.opened(this, this.client);
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
    if (this.web === null) this.client.writer.writeTrailers(address, length);
    else this.responseBodyBytes += this.web.passTrailers(this.path.core.text(address, length), this.client.writer);
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
    if (this.web?.holdsHead === true) {
      this.grpcStatus = this.web.completeHead(this.path.core, this);
      this.writer.writeHead(this, L.EMBEDDER_SCRATCH, 0);
    } else this.web?.endAnswer(this.client.writer);
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
}
