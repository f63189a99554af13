// Registry: the gRPC service to which the supervisor streams what runs. Each report is the whole truth; the answer comes
// after it is stored. Reports that arrive while one is being stored are skipped for the newest of them.

import { create } from '@bufbuild/protobuf';
import {
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { GrpcAccessError, type PeerRule, requirePeerSpiffeId } from '@lateen/identity';
import type { Logger } from '@lateen/telemetry';
import type { AddressedHost } from '@lateen/translate';
import { grpcService } from '@lateen/xds-proto';
import {
  type RegistryAck,
  RegistryAckSchema,
  type RegistryReport,
  WorkloadRegistry,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import type { RegistryStore } from './registry-store.js';

export interface WorkloadRegistryOptions {
  readonly store: RegistryStore;
  /** Who may report: the supervisor. */
  readonly allowedClients: PeerRule;
  /** Hosts that pods need addresses for; undefined while nothing is configured yet. */
  readonly addressedHosts: () => readonly AddressedHost[] | undefined;
  readonly logger: Logger;
}

export interface WorkloadRegistryService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Tells the supervisor where the hosts that pods need addresses for have changed. */
  hostsChanged(): void;
  /** Whether a supervisor is connected that has reported what runs. */
  readonly reporting: boolean;
  /** Ends the streams with UNAVAILABLE. */
  close(): void;
}

type Call = ServerDuplexStream<RegistryReport, RegistryAck>;

/** A supervisor's stream, and what it was told last. */
interface Reporter {
  readonly call: Call;
  sequence: bigint;
  hosts: string;
}

/** Makes the service for a server whose clients present certificates. */
export function createWorkloadRegistry(options: WorkloadRegistryOptions): WorkloadRegistryService {
  const reporters = new Set<Reporter>();
  return {
    definition: grpcService(WorkloadRegistry) as ServiceDefinition,
    implementation: { report: (call: Call) => serveReports(call, options, reporters) } as UntypedServiceImplementation,
    get reporting() {
      return [...reporters].some(({ sequence }) => sequence > 0n);
    },
    hostsChanged: () => {
      const hosts = hostsText(options);
      for (const reporter of reporters) {
        // Who has reported nothing yet is told with the answer to the first report.
        if (reporter.sequence > 0n && reporter.hosts !== hosts) acknowledge(reporter, options);
      }
    },
    close: () => {
      for (const { call } of [...reporters]) {
        call.emit('error', { code: status.UNAVAILABLE, details: 'pilot is stopping; connect again' });
      }
    },
  };
}

function hostsText({ addressedHosts }: WorkloadRegistryOptions): string {
  return JSON.stringify(addressedHosts() ?? null);
}

function acknowledge(reporter: Reporter, options: WorkloadRegistryOptions): void {
  const hosts = options.addressedHosts();
  reporter.hosts = hostsText(options);
  const { sequence } = reporter;
  const told =
    hosts === undefined
      ? undefined
      : {
          hosts: hosts.map(({ host, namespaces, ports }) => ({
            host,
            namespaces: [...namespaces],
            ports: ports.map(({ name, port }) => ({ name, port })),
          })),
        };
  reporter.call.write(create(RegistryAckSchema, { sequence, hosts: told }));
}

function serveReports(call: Call, options: WorkloadRegistryOptions, reporters: Set<Reporter>): void {
  const { store, allowedClients, logger } = options;
  try {
    requirePeerSpiffeId(call, allowedClients);
  } catch (error) {
    if (!(error instanceof GrpcAccessError)) throw error;
    logger.warn({ peer: call.getPeer(), reason: error.message }, 'registry client refused');
    call.emit('error', error);
    return;
  }
  const reporter: Reporter = { call, sequence: 0n, hosts: '' };
  reporters.add(reporter);
  logger.info({ peer: call.getPeer() }, 'registry connected');
  let newest: RegistryReport | undefined;
  let storing = false;

  const storeNewest = async () => {
    storing = true;
    while (newest !== undefined) {
      const report = newest;
      newest = undefined;
      await store.apply(report);
      reporter.sequence = report.sequence;
      if (reporters.has(reporter)) acknowledge(reporter, options);
    }
    storing = false;
  };
  const over = () => {
    if (reporters.delete(reporter))
      logger.info({ peer: call.getPeer() }, 'registry disconnected; keeping its last report');
  };
  call.on('data', (report: RegistryReport) => {
    newest = report;
    if (storing) return;
    storeNewest().catch((error: Error) => {
      storing = false;
      logger.error({ error }, 'registry report could not be stored; free space or fix the state directory');
      call.emit('error', { code: status.INTERNAL, details: `storing the report failed: ${error.message}` });
    });
  });
  call.on('end', () => {
    over();
    call.end();
  });
  call.on('cancelled', over);
  call.on('error', over);
}
