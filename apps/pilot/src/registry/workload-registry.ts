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
  readonly logger: Logger;
}

export interface WorkloadRegistryService {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** Ends the streams with UNAVAILABLE. */
  close(): void;
}

type Call = ServerDuplexStream<RegistryReport, RegistryAck>;

/** Makes the service for a server whose clients present certificates. */
export function createWorkloadRegistry(options: WorkloadRegistryOptions): WorkloadRegistryService {
  const calls = new Set<Call>();
  return {
    definition: grpcService(WorkloadRegistry) as ServiceDefinition,
    implementation: { report: (call: Call) => serveReports(call, options, calls) } as UntypedServiceImplementation,
    close: () => {
      for (const call of [...calls]) {
        call.emit('error', { code: status.UNAVAILABLE, details: 'pilot is stopping; connect again' });
      }
    },
  };
}

function serveReports(call: Call, { store, allowedClients, logger }: WorkloadRegistryOptions, calls: Set<Call>): void {
  try {
    requirePeerSpiffeId(call, allowedClients);
  } catch (error) {
    if (!(error instanceof GrpcAccessError)) throw error;
    logger.warn({ peer: call.getPeer(), reason: error.message }, 'registry client refused');
    call.emit('error', error);
    return;
  }
  calls.add(call);
  logger.info({ peer: call.getPeer() }, 'registry connected');
  let newest: RegistryReport | undefined;
  let storing = false;

  const storeNewest = async () => {
    storing = true;
    while (newest !== undefined) {
      const report = newest;
      newest = undefined;
      await store.apply(report);
      if (calls.has(call)) call.write(create(RegistryAckSchema, { sequence: report.sequence }));
    }
    storing = false;
  };
  const over = () => {
    if (calls.delete(call)) logger.info({ peer: call.getPeer() }, 'registry disconnected; keeping its last report');
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
