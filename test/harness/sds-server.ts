// Test harness: what Istio's agent is to an Envoy: serves the workload's certificate, the trust roots and files over a Unix socket.
//
// A Lateen sidecar needs none, it has its certificate from Citadel itself. An Envoy has to be given one, by whoever starts it.

import { existsSync, readFileSync } from 'node:fs';
import { create } from '@bufbuild/protobuf';
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import type { IdentitySource, WorkloadIdentity } from '@lateen/identity';
import { grpcService, packAny } from '@lateen/xds-proto';
import { DataSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContextSchema,
  TlsCertificateSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { type Secret, SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type DiscoveryRequest,
  type DiscoveryResponse,
  DiscoveryResponseSchema,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { SecretDiscoveryService } from '@lateen/xds-proto/envoy/service/secret/v3/sds_pb.js';

const SECRET_TYPE = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret';

/** Names by which proxies ask for files of their host: `file-cert:CERTIFICATE~KEY`, `file-root:ROOTS`. */
const FILE_PAIR = /^file-cert:([^~]+)~([^~]+)$/;
const FILE_ROOTS = /^file-root:(\/.+)$/;
/** The same of files that need not be there. */
const ANY_FILE = /^file-(cert|root):/;

const read = (path: string) => inline(readFileSync(path, 'utf8'));

const inline = (text: string) => create(DataSourceSchema, { specifier: { case: 'inlineString', value: text } });

function secretOf(name: string, identity: WorkloadIdentity): Secret | undefined {
  if (name === 'default') return pairOf(name, identity);
  if (name === 'ROOTCA') return rootsOf(name, identity);
  return secretOfFiles(name);
}

function pairOf(name: string, { certChainPem, keyPem }: WorkloadIdentity): Secret {
  const value = create(TlsCertificateSchema, { certificateChain: inline(certChainPem), privateKey: inline(keyPem) });
  return create(SecretSchema, { name, type: { case: 'tlsCertificate', value } });
}

function rootsOf(name: string, { rootsPem }: WorkloadIdentity): Secret {
  const value = create(CertificateValidationContextSchema, { trustedCa: inline(rootsPem) });
  return create(SecretSchema, { name, type: { case: 'validationContext', value } });
}

/** What the identity has in the place of a file that is not there. */
function standIn(name: string, identity: WorkloadIdentity): Secret | undefined {
  const kind = ANY_FILE.exec(name)?.[1];
  if (kind === undefined) return undefined;
  return kind === 'cert' ? pairOf(name, identity) : rootsOf(name, identity);
}

/** As Istio's agent has them; undefined where a file is not there. */
function secretOfFiles(name: string): Secret | undefined {
  const [, chain, key] = FILE_PAIR.exec(name) ?? [];
  if (chain !== undefined && key !== undefined) {
    if (!existsSync(chain) || !existsSync(key)) return undefined;
    const value = create(TlsCertificateSchema, { certificateChain: read(chain), privateKey: read(key) });
    return create(SecretSchema, { name, type: { case: 'tlsCertificate', value } });
  }
  const roots = FILE_ROOTS.exec(name)?.[1];
  if (roots === undefined || !existsSync(roots)) return undefined;
  const value = create(CertificateValidationContextSchema, { trustedCa: read(roots) });
  return create(SecretSchema, { name, type: { case: 'validationContext', value } });
}

export interface SdsServer {
  /** Refusals, in Envoy's words. */
  readonly refusals: readonly string[];
  stop(): void;
}

/**
 * Serves `default` and `ROOTCA` of the identity, and again when it is renewed; and files of this host, once.
 *
 * @param standsIn the identity is served in the place of files that are not there; else who asks for them waits
 */
export async function startSdsServer(
  socketPath: string,
  identity: IdentitySource,
  standsIn = false,
): Promise<SdsServer> {
  const refusals: string[] = [];
  const method = grpcService(SecretDiscoveryService).streamSecrets!;
  const streamSecrets = (call: ServerDuplexStream<DiscoveryRequest, DiscoveryResponse>) => {
    let names: readonly string[] = [];
    let version = 0;
    const send = () => {
      const { current } = identity;
      if (current === undefined || names.length === 0) return;
      const secrets = names.map((name) => secretOf(name, current) ?? (standsIn ? standIn(name, current) : undefined));
      const unknown = names.find((_, index) => secrets[index] === undefined);
      if (unknown !== undefined) {
        call.emit('error', { code: status.NOT_FOUND, details: `there is no secret ${unknown}` });
        return;
      }
      version++;
      call.write(
        create(DiscoveryResponseSchema, {
          typeUrl: SECRET_TYPE,
          versionInfo: String(version),
          nonce: String(version),
          resources: secrets.map((secret) => packAny(SecretSchema, secret as Secret)),
        }),
      );
    };
    const unsubscribe = identity.subscribe(send);
    call.on('data', (request: DiscoveryRequest) => {
      if (request.errorDetail !== undefined) refusals.push(request.errorDetail.message);
      const isAnswer = request.responseNonce !== '' && request.resourceNames.join() === names.join();
      names = request.resourceNames;
      if (!isAnswer) send();
    });
    call.once('end', () => {
      unsubscribe();
      call.end();
    });
    call.once('error', unsubscribe);
    call.once('cancelled', unsubscribe);
  };
  const server = new Server();
  server.addService({ streamSecrets: method } as never, { streamSecrets } as never);
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socketPath}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return { refusals, stop: () => server.forceShutdown() };
}
