// Test harness: does to a running control plane what lateenctl and the supervisor do: applies configuration, reports workloads.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { grpcChannelCredentials } from '@lateen/identity';
import { grpcService } from '@lateen/xds-proto';
import {
  ApplyRequestSchema,
  type ApplyResponse,
  ConfigAdmin,
} from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import {
  type RegistryAck,
  type RegistryReport,
  RegistryReportSchema,
  WorkloadRegistry,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { type ControlPlaneProcesses, systemId } from './control-plane-processes.js';

export class MeshOperator {
  private constructor(
    private readonly galley: Client,
    private readonly registry: Client,
  ) {}

  static async connect(plane: ControlPlaneProcesses): Promise<MeshOperator> {
    const admin = await plane.identity('lateen-admin');
    const supervisor = await plane.identity('lateen-supervisor');
    const channel = (port: number, identity: typeof admin, server: string) =>
      new Client(`127.0.0.1:${port}`, grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId(server)] }));
    return new MeshOperator(
      channel(plane.galleyAdminPort, admin, 'galley'),
      channel(plane.pilotPort, supervisor, 'pilot'),
    );
  }

  /** As `lateenctl apply` does. @throws Error with the first problem */
  apply(name: string, content: string): Promise<true> {
    const method = grpcService(ConfigAdmin).apply!;
    const request = create(ApplyRequestSchema, { files: [{ name, content }] });
    return new Promise((resolve, reject) => {
      this.galley.makeUnaryRequest(
        method.path,
        // The method table's functions take any message; grpc-js wants them typed by this call.
        method.requestSerialize as never,
        method.responseDeserialize as never,
        request,
        (error: Error | null, response?: ApplyResponse) => {
          const refused = response?.problems.find(({ severity }) => severity === 'error');
          if (error !== null || refused !== undefined) reject(error ?? new Error(`${name}: ${refused?.message}`));
          else resolve(true);
        },
      );
    });
  }

  /** As the supervisor does; resolves when Pilot has stored the report. */
  report(registry: MessageInitShape<typeof RegistryReportSchema>): Promise<true> {
    const method = grpcService(WorkloadRegistry).report!;
    const call: ClientDuplexStream<RegistryReport, RegistryAck> = this.registry.makeBidiStreamRequest(
      method.path,
      method.requestSerialize as never,
      method.responseDeserialize as never,
    );
    return new Promise((resolve, reject) => {
      call.on('error', reject);
      call.on('data', () => {
        resolve(true);
        call.end();
      });
      call.write(create(RegistryReportSchema, registry));
    });
  }

  close(): void {
    this.galley.close();
    this.registry.close();
  }
}
