// Debug API: what each proxy was sent and has answered (`lateenctl proxy-status`).

import { shortTypeName } from '@lateen/xds-proto';
import type { AdsSubscriberReport, AdsTypeStatus } from '@lateen/xds-stream';
import { proxyVersion } from '../observe/pilot-metrics.js';
import { proxyIdOfReport } from './proxies.js';

export interface SyncedType {
  /** "CDS", "EDS", "LDS", "RDS", … */
  readonly type: string;
  readonly typeUrl: string;
  readonly status: AdsTypeStatus;
  readonly sentVersion: string;
  readonly sentNonce: string;
  readonly ackedVersion: string;
  readonly ackedNonce: string;
  /** Resources that the proxy holds. */
  readonly resources: number;
  /** Text of the NACK, while the last response stands rejected. */
  readonly error?: string;
}

/** One element of /debug/syncz's list. */
export interface SyncedProxy {
  /** POD.NAMESPACE. */
  readonly proxyId: string;
  readonly nodeId: string;
  readonly protocol: 'sotw' | 'delta';
  readonly peer: string;
  /** RFC 3339. */
  readonly connectedSince: string;
  /** Version of the proxy's software. */
  readonly version: string;
  readonly types: readonly SyncedType[];
}

export function describeSync(reports: readonly AdsSubscriberReport[]): readonly SyncedProxy[] {
  return reports
    .map((report) => ({
      proxyId: proxyIdOfReport(report),
      nodeId: report.client.node.id,
      protocol: report.client.form,
      peer: report.client.peer,
      connectedSince: new Date(report.client.connectedAtMs).toISOString(),
      version: proxyVersion(report.client),
      types: report.types.map(
        ({ typeUrl, status, sentVersion, sentNonce, ackedVersion, ackedNonce, error, resources }) => ({
          type: shortTypeName(typeUrl),
          typeUrl,
          status,
          sentVersion,
          sentNonce,
          ackedVersion,
          ackedNonce,
          resources: resources.size,
          ...(error === undefined ? {} : { error }),
        }),
      ),
    }))
    .sort((a, b) => (a.proxyId < b.proxyId ? -1 : 1));
}
