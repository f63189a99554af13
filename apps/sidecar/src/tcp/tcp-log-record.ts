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
  /** CONNECTION_TERMINATION_DETAILS, empty where there are none. */
  readonly terminationDetails: string;
  /** RESPONSE_CODE_DETAILS, empty where there are none. */
  readonly details: string;
  /** What filters have said of the connection. */
  readonly noted: ReadonlyMap<string, string>;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly upstreamHost: string | undefined;
  readonly upstreamCluster: string | undefined;
  readonly upstreamStatName: string | undefined;
  readonly upstreamLocalAddress: string | undefined;
  readonly downstreamLocalAddress: string;
  readonly downstreamRemoteAddress: string;
  readonly serverName: string;
  readonly peerPrincipal: string;
  readonly attemptCount: number;
}

/** The record of a connection. */
export function tcpLogRecord(facts: ConnectionFactsAtEnd): AccessLogRecord {
  const { flags, failureReason, terminationDetails, details, noted, serverName, peerPrincipal, ...same } = facts;
  return {
    ...same,
    method: undefined,
    path: undefined,
    authority: undefined,
    protocol: undefined,
    responseCode: 0,
    responseFlags: tcpFlagsText(flags),
    responseCodeDetails: details === '' ? undefined : details,
    grpcStatus: undefined,
    connectionTerminationDetails: terminationDetails === '' ? undefined : terminationDetails,
    upstreamTransportFailureReason: failureReason === '' ? undefined : failureReason,
    upstreamServiceTimeMs: undefined,
    requestedServerName: serverName === '' ? undefined : serverName,
    routeName: undefined,
    downstreamPeerUriSan: peerPrincipal === '' ? undefined : peerPrincipal,
    metadata: (name) => noted.get(name),
    requestHeader: () => undefined,
    responseHeader: () => undefined,
  };
}
