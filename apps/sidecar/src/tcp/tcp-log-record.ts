// TCP: a finished connection as access logs see it; what only requests have is absent.

import type { AccessLogRecord } from '../data-plane.js';
import { tcpFlagsText } from '../exchange/response-flags.js';

/** What is known of a connection when it ends. */
export interface ConnectionFactsAtEnd {
  readonly startTimeMs: number;
  readonly durationMs: number;
  /** FLAG bits. */
  readonly flags: number;
  readonly failureReason: string;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly upstreamHost: string | undefined;
  readonly upstreamCluster: string | undefined;
  readonly upstreamLocalAddress: string | undefined;
  readonly downstreamLocalAddress: string;
  readonly downstreamRemoteAddress: string;
  readonly serverName: string;
  readonly peerPrincipal: string;
  readonly attemptCount: number;
}

/** The record of a connection. */
export function tcpLogRecord(facts: ConnectionFactsAtEnd): AccessLogRecord {
  const { flags, failureReason, serverName, peerPrincipal, ...same } = facts;
  return {
    ...same,
    method: undefined,
    path: undefined,
    authority: undefined,
    protocol: undefined,
    responseCode: 0,
    responseFlags: tcpFlagsText(flags),
    responseCodeDetails: undefined,
    grpcStatus: undefined,
    connectionTerminationDetails: undefined,
    upstreamTransportFailureReason: failureReason === '' ? undefined : failureReason,
    upstreamServiceTimeMs: undefined,
    requestedServerName: serverName === '' ? undefined : serverName,
    routeName: undefined,
    downstreamPeerUriSan: peerPrincipal === '' ? undefined : peerPrincipal,
    requestHeader: () => undefined,
    responseHeader: () => undefined,
  };
}
