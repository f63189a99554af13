// Upstream: what outlier detection knows of one endpoint: errors in a row, and its ejections.

import type { ConsecutiveLimit, OutlierKind, OutlierSettings } from './outlier-settings.js';

/** Whom a monitor tells that a limit was reached. */
export interface OutlierJudge {
  onPassedCheck(monitor: OutlierMonitor): void;
  onLimit(monitor: OutlierMonitor, kind: OutlierKind): void;
}

/** Answers of the proxy that stand for errors of connecting, where those are not counted apart. */
const CONNECT_FAILED = 503;
const TIMED_OUT = 504;

/** The HTTP status that a gRPC status counts as, in the order of the gRPC statuses (as in Envoy). */
const GRPC_AS_HTTP = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];

/** Counts as Envoy does: any answer below 500 starts anew. */
export class OutlierMonitor {
  ejectedAtMs = 0;
  ejectedForMs = 0;
  ejected = false;
  /** How many times the base ejection time the next ejection takes at least; one less after each quiet interval. */
  growth = 0;
  private serverErrors = 0;
  private gatewayErrors = 0;
  private localErrors = 0;

  constructor(
    readonly slot: number,
    readonly addressText: string,
    private readonly settings: OutlierSettings,
    private readonly judge: OutlierJudge,
  ) {}

  /** The endpoint has answered a request. @param grpcStatus of an answer without messages, less than 0 where there is none */
  answered(status: number, grpcStatus: number): void {
    this.count(grpcStatus < 0 ? status : (GRPC_AS_HTTP[grpcStatus] ?? 500));
  }

  /** A connection was made. */
  connected(): void {
    if (this.settings.splitLocalOrigin) this.localErrors = 0;
  }

  /** A connection carried what it was made for: all there is to say of TCP. */
  succeeded(): void {
    if (this.settings.splitLocalOrigin) this.localErrors = 0;
    else this.count(200);
  }

  /** No connection, one that was cut, or an answer that did not come in time. */
  failedLocally(timedOut: boolean): void {
    if (!this.settings.splitLocalOrigin) {
      this.count(timedOut ? TIMED_OUT : CONNECT_FAILED);
      return;
    }
    this.localErrors++;
    const { consecutive_local_origin_failure: limit } = this.settings.limits;
    if (reached(this.localErrors, limit)) this.judge.onLimit(this, 'consecutive_local_origin_failure');
  }

  /** The endpoint has passed an active health check. */
  passedCheck(): void {
    if (this.ejected && this.settings.checksTakeBack) this.judge.onPassedCheck(this);
  }

  /** Counting begins anew. */
  reset(kind?: OutlierKind): void {
    if (kind === undefined || kind === 'consecutive_5xx') this.serverErrors = 0;
    if (kind === undefined || kind === 'consecutive_gateway_failure') this.gatewayErrors = 0;
    if (kind === undefined || kind === 'consecutive_local_origin_failure') this.localErrors = 0;
  }

  private count(status: number): void {
    if (status < 500) {
      this.serverErrors = 0;
      this.gatewayErrors = 0;
      return;
    }
    const { limits } = this.settings;
    this.serverErrors++;
    if (status >= 502 && status <= 504) {
      this.gatewayErrors++;
      if (reached(this.gatewayErrors, limits.consecutive_gateway_failure)) {
        this.judge.onLimit(this, 'consecutive_gateway_failure');
      }
    } else this.gatewayErrors = 0;
    if (reached(this.serverErrors, limits.consecutive_5xx)) this.judge.onLimit(this, 'consecutive_5xx');
  }
}

function reached(errors: number, { limit }: ConsecutiveLimit): boolean {
  return errors === limit;
}
