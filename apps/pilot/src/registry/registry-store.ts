// Registry: the last report of what runs, in memory and on disk.

import { readFile } from 'node:fs/promises';
import { fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { Namespace, Service, Workload } from '@lateen/translate';
import { type RegistryReport, RegistryReportSchema } from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';

/** The registry as translation reads it. */
export interface Registry {
  readonly namespaces: readonly Namespace[];
  readonly services: readonly Service[];
  readonly workloads: readonly Workload[];
}

export class RegistryStore {
  private registry: Registry | undefined;
  private reportedAtMs: number | undefined;
  private writes: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: string,
    private readonly onChange: () => void,
  ) {}

  /** Reads what was stored. A file that cannot be read is left out and logged: the supervisor reports again. */
  static async open(file: string, logger: Logger, onChange: () => void): Promise<RegistryStore> {
    const store = new RegistryStore(file, onChange);
    try {
      const report = fromJson(RegistryReportSchema, JSON.parse(await readFile(file, 'utf8')) as JsonValue);
      store.registry = toRegistry(report);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        logger.warn({ file, reason: (error as Error).message }, 'stored registry is not used; waiting for a report');
      }
    }
    return store;
  }

  /** Undefined before the first report, where none was stored. */
  get current(): Registry | undefined {
    return this.registry;
  }

  /** When the last report came; undefined while the registry is the stored one. */
  get lastReportMs(): number | undefined {
    return this.reportedAtMs;
  }

  /** Resolves when everything that was taken is stored, or was told to have failed. */
  flushed(): Promise<void> {
    return this.writes;
  }

  /** Takes a report: resolves once it is stored. Rejects when it cannot be stored; it is served all the same. */
  async apply(report: RegistryReport): Promise<void> {
    this.registry = toRegistry(report);
    this.reportedAtMs = Date.now();
    this.onChange();
    const content = `${JSON.stringify(toJson(RegistryReportSchema, report), undefined, 1)}\n`;
    // One after the other, so that the file ends up with the newest report.
    const write = this.writes.then(() => writeFileAtomic(this.file, content));
    this.writes = write.catch(() => undefined); // the caller is told by the rejection of `write`
    await write;
  }
}

/** Both forms have the same fields; protobuf's own (`$typeName`, …) are left behind, since they would count in hashes. */
function toRegistry(report: RegistryReport): Registry {
  return {
    namespaces: report.namespaces.map(({ name, labels }) => ({ name, labels })),
    services: report.services.map(({ namespace, name, labels, annotations, selector, ports }) => ({
      namespace,
      name,
      labels,
      annotations,
      selector,
      ports: ports.map(({ name: portName, port, targetPort, appProtocol }) => ({
        name: portName,
        port,
        targetPort,
        appProtocol,
      })),
    })),
    workloads: report.workloads.map((workload) => ({
      name: workload.name,
      namespace: workload.namespace,
      labels: workload.labels,
      annotations: workload.annotations,
      serviceAccount: workload.serviceAccount,
      workloadName: workload.workloadName,
      address: workload.address,
      ports: workload.ports.map(({ port, appPort, name }) => ({ port, appPort, name })),
      ready: workload.ready,
      serviceAddresses: workload.serviceAddresses,
      gateway: workload.gateway,
      extraBindAddresses: workload.extraBindAddresses,
    })),
  };
}
