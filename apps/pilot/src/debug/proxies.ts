// Debug API: the connected proxies, by the id that people use.

import { parseProxyNode } from '@lateen/translate';
import type { AdsSubscriber, AdsSubscriberReport } from '@lateen/xds-stream';
import { proxyIdOf } from '../push/proxy-source.js';

/** POD.NAMESPACE of a connected proxy. */
export function proxyIdOfClient({ node }: Pick<AdsSubscriber, 'node'>): string {
  const parsed = parseProxyNode(node);
  return parsed.ok ? proxyIdOf(parsed.proxy) : node.id;
}

export function proxyIdOfReport({ client }: AdsSubscriberReport): string {
  return proxyIdOfClient(client);
}

/** The newest stream of a proxy; while it reconnects there may be two. */
export function findProxy(reports: readonly AdsSubscriberReport[], proxyId: string): AdsSubscriberReport | undefined {
  return reports
    .filter((report) => proxyIdOfReport(report) === proxyId)
    .sort((a, b) => b.client.connectedAtMs - a.client.connectedAtMs)[0];
}
