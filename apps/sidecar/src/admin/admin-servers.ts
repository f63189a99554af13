// Admin API: starts it on its loopback address, and the health and metrics ports where the node asks for them.

import { startPodServers } from '../pod/pod-servers.js';
import type { PodServing } from '../pod/pod-settings.js';
import { type AdminSources, createAdminPages, metricsAnswer, readyAnswer } from './admin-pages.js';
import type { AdminToken } from './admin-token.js';
import { type Page, type PageServer, startPageServer } from './http-page.js';

export interface AdminServersOptions extends AdminSources {
  /** Undefined where there is no state directory: calls that change something are refused then. */
  readonly token: AdminToken | undefined;
  /** What a pod's ports serve; undefined where the proxy is in none. */
  readonly serving?: PodServing | undefined;
}

export interface AdminServers {
  /** Bound addresses by purpose, for the log. */
  readonly addresses: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

const READY_PORT = 15021;
const MERGED_METRICS_PORT = 15020;
const METRICS_PORT = 15090;

/** @throws StartError where an address cannot be bound */
export async function startAdminServers(options: AdminServersOptions): Promise<AdminServers> {
  const { bootstrap, token } = options;
  const servers = new Map<string, PageServer>();
  const close = async () => {
    await Promise.all([...servers.values()].map((server) => server.close()));
  };
  try {
    if (bootstrap.admin !== undefined) {
      servers.set(
        'admin',
        await startPageServer({
          ...bootstrap.admin,
          pages: createAdminPages(options),
          authorize: (authorization) => token?.matches(authorization) ?? false,
        }),
      );
    }
    if (options.serving !== undefined) await startPodServers(options.serving, options, servers);
    const address = instanceAddress(bootstrap.node.metadata);
    if (address !== undefined) {
      const metrics: Page = { method: 'GET', help: 'metrics', answer: () => metricsAnswer(options) };
      const ready: Page = { method: 'GET', help: 'readiness', answer: () => readyAnswer(options.notReadyReason()) };
      for (const [purpose, port, path, page] of [
        ['ready', READY_PORT, '/healthz/ready', ready],
        ['mergedMetrics', MERGED_METRICS_PORT, '/stats/prometheus', metrics],
        ['metrics', METRICS_PORT, '/stats/prometheus', metrics],
      ] as const) {
        const pages = new Map([[path, page]]);
        servers.set(purpose, await startPageServer({ address, port, pages, authorize: () => false }));
      }
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    addresses: Object.fromEntries(
      [...servers].map(([purpose, server]) => [purpose, `${server.address}:${server.port}`]),
    ),
    close,
  };
}

/** The first of the node's own addresses where its metadata asks for these ports. */
function instanceAddress(metadata: AdminSources['bootstrap']['node']['metadata']): string | undefined {
  if (metadata?.LATEEN_PORTS !== true) return undefined;
  const addresses = metadata.INSTANCE_IPS;
  const [first] = Array.isArray(addresses) ? addresses : typeof addresses === 'string' ? addresses.split(',') : [];
  return typeof first === 'string' && first !== '' ? first : undefined;
}
