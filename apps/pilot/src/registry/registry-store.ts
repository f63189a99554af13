// Registry: the last report of what runs, in memory and on disk.

import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { create, fromJson, type JsonValue, toJson } from '@bufbuild/protobuf';
import { writeFileAtomic } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { Credential, Namespace, Service, Workload } from '@lateen/translate';
import { type RegistryReport, RegistryReportSchema } from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import type { RegistrySource } from './registry-source.js';

/** The registry as translation reads it. */
export interface Registry {
  readonly namespaces: readonly Namespace[];
  readonly services: readonly Service[];
  readonly workloads: readonly Workload[];
  /** Certificates and keys for gateways. */
  readonly credentials: readonly Credential[];
}

/** Kept apart from the rest, so that whoever shows or copies the registry has no keys. */
const CREDENTIALS_FILE = 'credentials.json';

export class RegistryStore implements RegistrySource {
  private registry: Registry | undefined;
  private reportedAtMs: number | undefined;
  private writtenCredentials: string | undefined;
  private writes: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: string,
    private readonly onChange: () => void,
  ) {}

  /** Reads what was stored. A file that cannot be read is left out and logged: the supervisor reports again. */
  static async open(file: string, logger: Logger, onChange: () => void): Promise<RegistryStore> {
    const store = new RegistryStore(file, onChange);
    const report = await readReport(file, logger);
    const secrets = await readReport(store.credentialsFile, logger);
    if (report !== undefined) {
      report.credentials = secrets?.credentials ?? [];
      store.registry = toRegistry(report, undefined);
    }
    return store;
  }

  private get credentialsFile(): string {
    return join(dirname(this.file), CREDENTIALS_FILE);
  }

  /** Undefined before the first report, where none was stored. */
  get current(): Registry | undefined {
    return this.registry;
  }

  /** When the last report came; undefined while the registry is the stored one. */
  get lastReportMs(): number | undefined {
    return this.reportedAtMs;
  }

  missing(): string | undefined {
    return this.registry === undefined ? 'no workload registry report yet' : undefined;
  }

  /** A report has all Secrets that there are. */
  follow(): undefined {
    return undefined;
  }

  /** Resolves when everything that was taken is stored, or was told to have failed. */
  close(): Promise<void> {
    return this.writes;
  }

  /** Takes a report: resolves once it is stored. Rejects when it cannot be stored; it is served all the same. */
  async apply(report: RegistryReport): Promise<void> {
    this.registry = toRegistry(report, this.registry);
    this.reportedAtMs = Date.now();
    this.onChange();
    const { credentials, ...rest } = report;
    // One after the other, so that the files end up with the newest report.
    const write = this.writes.then(async () => {
      await this.writeCredentials(credentials);
      await writeFileAtomic(this.file, textOf(create(RegistryReportSchema, { ...rest, credentials: [] })));
    });
    this.writes = write.catch(() => undefined); // the caller is told by the rejection of `write`
    await write;
  }

  /** Readable by this user only. Not written again where nothing changed, which is most of the time. */
  private async writeCredentials(credentials: RegistryReport['credentials']): Promise<void> {
    const text = textOf(create(RegistryReportSchema, { credentials }));
    if (text === this.writtenCredentials) return;
    await writeFileAtomic(this.credentialsFile, text, { mode: 0o600 });
    this.writtenCredentials = text;
  }
}

function textOf(report: RegistryReport): string {
  return `${JSON.stringify(toJson(RegistryReportSchema, report), undefined, 1)}\n`;
}

async function readReport(file: string, logger: Logger): Promise<RegistryReport | undefined> {
  try {
    return fromJson(RegistryReportSchema, JSON.parse(await readFile(file, 'utf8')) as JsonValue);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      // What does not parse could be quoted by the parser's words, so they are not logged.
      logger.warn({ file }, 'the stored registry cannot be read and is not used; waiting for a report');
    }
    return undefined;
  }
}

/** Credentials that did not change stay the same objects: they were read and checked already. */
function toCredentials(report: RegistryReport, before: Registry | undefined): readonly Credential[] {
  const known = new Map(before?.credentials.map((each) => [`${each.namespace}/${each.name}`, each]));
  return report.credentials.map(({ namespace, name, values }) => {
    const old = known.get(`${namespace}/${name}`);
    return old !== undefined && isDeepStrictEqual(old.values, values) ? old : { namespace, name, values };
  });
}

/** Both forms have the same fields; protobuf's own (`$typeName`, …) are left behind, since they would count in hashes. */
function toRegistry(report: RegistryReport, before: Registry | undefined): Registry {
  return {
    credentials: toCredentials(report, before),
    namespaces: report.namespaces.map(({ name, labels }) => ({ name, labels })),
    services: report.services.map(({ ports, ...service }) => ({
      namespace: service.namespace,
      name: service.name,
      labels: service.labels,
      annotations: service.annotations,
      selector: service.selector,
      ports: ports.map(({ name: portName, port, targetPort, appProtocol }) => ({
        name: portName,
        port,
        targetPort,
        appProtocol,
      })),
      headless: service.headless,
      nodeLocal: service.nodeLocal,
      trafficDistribution: service.trafficDistribution,
      clusterIps: service.clusterIps,
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
      node: workload.node,
      otherAddresses: workload.otherAddresses,
      takesEveryPort: workload.takesEveryPort,
    })),
  };
}
