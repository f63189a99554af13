// Debug API: the connected proxies, by the id that people use.

import { parseProxyNode } from '@lateen/translate';
import type { AdsSubscriberReport } from '@lateen/xds-stream';
import { proxyIdOf } from '../push/proxy-source.js';

/** POD.NAMESPACE of a connected proxy. */
export function proxyIdOfReport({ client }: AdsSubscriberReport): string {
  const parsed = parseProxyNode(client.node);
  return parsed.ok ? proxyIdOf(parsed.proxy) : client.node.id;
}

/** The newest stream of a proxy; while it reconnects there may be two. */
export function findProxy(reports: readonly AdsSubscriberReport[], proxyId: string): AdsSubscriberReport | undefined {
  return reports
    .filter((report) => proxyIdOfReport(report) === proxyId)
    .sort((a, b) => b.client.connectedAtMs - a.client.connectedAtMs)[0];
}
