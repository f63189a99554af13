// Test harness: does to a running control plane what lateenctl and the supervisor do: applies configuration, reports workloads.

import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream } from '@grpc/grpc-js';
import { type CertificateClient, grpcChannelCredentials } from '@lateen/identity';
import { grpcService } from '@lateen/xds-proto';
import {
  ApplyRequestSchema,
  type ApplyResponse,
  ConfigAdmin,
  DeleteRequestSchema,
  type DeleteResponse,
} from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import {
  type RegistryAck,
  type RegistryReport,
  RegistryReportSchema,
  WorkloadRegistry,
} from '@lateen/xds-proto/lateen/registry/v1/workload_pb.js';
import { type ControlPlaneProcesses, systemId } from './control-plane-processes.js';

/** An object of Galley. */
export interface ResourceName {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

export class MeshOperator {
  private constructor(
    private readonly galley: Client,
    private readonly registry: Client,
    /** Who applies; it may also ask the admin APIs. */
    readonly admin: CertificateClient,
  ) {}

  static async connect(plane: ControlPlaneProcesses): Promise<MeshOperator> {
    const admin = await plane.identity('lateen-admin');
    const supervisor = await plane.identity('lateen-supervisor');
    const channel = (port: number, identity: typeof admin, server: string) =>
      new Client(`127.0.0.1:${port}`, grpcChannelCredentials(identity, { expectedSpiffeIds: [systemId(server)] }));
    return new MeshOperator(
      channel(plane.galleyAdminPort, admin, 'galley'),
      channel(plane.pilotPort, supervisor, 'pilot'),
      admin,
    );
  }

  /** As `lateenctl apply` does. @throws Error with the first problem */
  async apply(name: string, content: string): Promise<true> {
    const { problems } = await this.tryApply(name, content);
    const refused = problems.find(({ severity }) => severity === 'error');
    if (refused !== undefined) throw new Error(`${name}: ${refused.message}`);
    return true;
  }

  /** The same, with everything that Galley says. @throws Error where it does not answer */
  tryApply(name: string, content: string): Promise<ApplyResponse> {
    return this.call('apply', create(ApplyRequestSchema, { files: [{ name, content }] }));
  }

  /** As `lateenctl delete` does; what is not there is left out. */
  async delete(resources: readonly ResourceName[]): Promise<void> {
    const named = resources.map(({ kind, namespace, name }) => ({ kind, namespace, name }));
    await this.call<DeleteResponse>('delete', create(DeleteRequestSchema, { resources: named }));
  }

  private call<Response>(rpc: 'apply' | 'delete', request: unknown): Promise<Response> {
    const method = grpcService(ConfigAdmin)[rpc]!;
    return new Promise((resolve, reject) => {
      this.galley.makeUnaryRequest(
        method.path,
        // The method table's functions take any message; grpc-js wants them typed by this call.
        method.requestSerialize as never,
        method.responseDeserialize as never,
        request,
        (error: Error | null, response?: Response) => {
          if (error !== null || response === undefined) reject(error ?? new Error(`${rpc}: no answer`));
          else resolve(response);
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
