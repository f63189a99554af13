// Bootstrap: reads the file that a sidecar is started with, and checks it as far as that goes without serving.

import { readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { TYPE_URL } from '@lateen/xds-proto';
import { AddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { ConfigRejected } from '../data-plane.js';
import { AccessLogs } from '../observe/access-logs.js';
import type { SidecarOptions } from '../sidecar.js';
import { StartError } from '../start-error.js';
import { readReadinessProbe } from '../workload-health/readiness-probe.js';
import { parseBootstrap, type SidecarBootstrap } from './bootstrap.js';
import type { ResourceMessages } from './decode-resource.js';
import { readDiscoveryFile } from './files/discovery-file.js';
import type { ResourceSource } from './files/resource-source.js';
import { createStaticResources } from './store/assemble-config.js';

const FREE_ADDRESS = create(AddressSchema, {
  address: {
    case: 'socketAddress',
    value: { address: '127.0.0.1', portSpecifier: { case: 'portValue', value: 0 } },
  },
});

/** @throws StartError */
function readBootstrapFile(path: string): { readonly path: string; readonly text: string } {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new StartError(`cannot read the bootstrap file ${path}: ${(error as Error).message}`);
  }
}

/** The text that a sidecar is started with, and what it is called. @throws StartError */
export function bootstrapOf({
  configPath: path,
  bootstrapText: text,
}: Pick<SidecarOptions, 'configPath' | 'bootstrapText'>) {
  return text === undefined ? readBootstrapFile(path) : { path, text };
}

/** Reads and checks a bootstrap file. @throws BootstrapRejected, StartError */
export function loadBootstrap(path: string): SidecarBootstrap {
  return parseBootstrap(readBootstrapFile(path).text, path);
}

/**
 * Checks a bootstrap file as far as it can be without serving: everything is compiled, with each listener on a free
 * loopback port, so that nothing of the file's own addresses is touched. Resolves to warnings.
 * @throws BootstrapRejected, StartError
 */
export async function validateBootstrap(
  options: Pick<SidecarOptions, 'configPath' | 'bootstrapText' | 'createDataPlane'>,
): Promise<readonly string[]> {
  const { path, text } = bootstrapOf(options);
  const bootstrap = parseBootstrap(text, path);
  readReadinessProbe(bootstrap.node.metadata);
  const statics = createStaticResources(bootstrap);
  const filed = {
    listeners: readWholeFile(bootstrap.dynamic?.listeners, TYPE_URL.listener),
    clusters: readWholeFile(bootstrap.dynamic?.clusters, TYPE_URL.cluster),
  };
  const accessLogs = new AccessLogs({ node: bootstrap.node, log: () => undefined });
  const dataPlane = await options.createDataPlane({
    node: bootstrap.node,
    createAccessLogSink: (configs) => accessLogs.createSink(configs),
    quotaCluster: bootstrap.ads?.clusterName,
  });
  try {
    await dataPlane.apply({
      listeners: [...statics.listeners, ...filed.listeners].map((listener) => ({
        ...listener,
        address: FREE_ADDRESS,
        additionalAddresses: [],
      })),
      clusters: [...statics.clusters, ...filed.clusters],
      routes: new Map(),
      endpoints: new Map(),
      secrets: statics.secrets,
    });
  } catch (error) {
    throw error instanceof ConfigRejected ? bootstrap.rejected(error.problems) : error;
  } finally {
    await dataPlane.close();
  }
  return bootstrap.warnings;
}

/** What a file of `lds_config` or `cds_config` holds. @throws StartError with every problem of it */
function readWholeFile<Url extends typeof TYPE_URL.listener | typeof TYPE_URL.cluster>(
  source: ResourceSource | undefined,
  typeUrl: Url,
): ResourceMessages[Url][] {
  if (source === undefined || source === 'ads') return [];
  const { entries, problems } = readDiscoveryFile(source.path, typeUrl);
  if (problems.length > 0) throw new StartError(problems.map(({ text }) => text).join('\n'));
  return entries.map(({ value }) => value);
}
