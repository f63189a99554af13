// Tests: a proxy's end of SDS on a Unix socket, in either form; answers what it is told to.

import { create } from '@bufbuild/protobuf';
import { Client, type ClientDuplexStream, credentials, type ServiceError } from '@grpc/grpc-js';
import { anyIs, grpcService, TYPE_URL, unpackAny } from '@lateen/xds-proto';
import { type Secret, SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import {
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
  type DiscoveryRequest,
  DiscoveryRequestSchema,
  type DiscoveryResponse,
} from '@lateen/xds-proto/envoy/service/discovery/v3/discovery_pb.js';
import { SecretDiscoveryService } from '@lateen/xds-proto/envoy/service/secret/v3/sds_pb.js';
import { StatusSchema } from '@lateen/xds-proto/google/rpc/status_pb.js';

const methods = grpcService(SecretDiscoveryService);
const typeUrl = TYPE_URL.secret;

/** A secret as its texts. */
export interface SeenSecret {
  readonly name: string;
  readonly certificateChain?: string;
  readonly privateKey?: string;
  readonly trustedCa?: string;
}

/** Messages in their order, each waited for. */
class Arrivals<Message> {
  readonly #messages: Message[] = [];
  #wake: (() => void) | undefined;

  constructor(call: ClientDuplexStream<never, Message>) {
    call.on('data', (message: Message) => {
      this.#messages.push(message);
      this.#wake?.();
    });
    call.on('error', () => undefined); // the end of the server, or of this test
  }

  get waiting(): number {
    return this.#messages.length;
  }

  async next(): Promise<Message> {
    while (this.#messages.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift() as Message;
  }
}

/** State of the world: asks for names, and answers each response. */
export class SotwStream {
  readonly #call: ClientDuplexStream<DiscoveryRequest, DiscoveryResponse>;
  readonly #arrivals: Arrivals<DiscoveryResponse>;
  #nonce = '';

  constructor(
    client: Client,
    private readonly names: readonly string[],
  ) {
    const { path, requestSerialize, responseDeserialize } = methods.streamSecrets!;
    this.#call = client.makeBidiStreamRequest(path, requestSerialize as never, responseDeserialize as never);
    this.#arrivals = new Arrivals(this.#call as never);
    this.#send({});
  }

  /** The next response. Acknowledged, or refused with this text. */
  async next(refusal?: string): Promise<readonly SeenSecret[]> {
    const response = await this.#arrivals.next();
    this.#nonce = response.nonce;
    this.#send(refusal === undefined ? {} : { errorDetail: create(StatusSchema, { code: 3, message: refusal }) });
    return response.resources
      .filter((any) => anyIs(any, SecretSchema))
      .map((any) => seen(unpackAny(any, SecretSchema)));
  }

  get waiting(): number {
    return this.#arrivals.waiting;
  }

  end(): void {
    this.#call.end();
  }

  #send(fields: Partial<Pick<DiscoveryRequest, 'errorDetail'>>): void {
    const resourceNames = [...this.names];
    this.#call.write(create(DiscoveryRequestSchema, { typeUrl, resourceNames, responseNonce: this.#nonce, ...fields }));
  }
}

/** Incremental. */
export class DeltaStream {
  readonly #call: ClientDuplexStream<DeltaDiscoveryRequest, DeltaDiscoveryResponse>;
  readonly #arrivals: Arrivals<DeltaDiscoveryResponse>;

  constructor(client: Client) {
    const { path, requestSerialize, responseDeserialize } = methods.deltaSecrets!;
    this.#call = client.makeBidiStreamRequest(path, requestSerialize as never, responseDeserialize as never);
    this.#arrivals = new Arrivals(this.#call as never);
  }

  subscribe(...names: string[]): void {
    this.#call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, resourceNamesSubscribe: names }));
  }

  async next(): Promise<{ readonly secrets: readonly SeenSecret[]; readonly removed: readonly string[] }> {
    const { nonce, resources, removedResources } = await this.#arrivals.next();
    this.#call.write(create(DeltaDiscoveryRequestSchema, { typeUrl, responseNonce: nonce }));
    const secrets = resources.flatMap(({ resource }) => (resource ? [seen(unpackAny(resource, SecretSchema))] : []));
    return { secrets, removed: removedResources };
  }

  end(): void {
    this.#call.end();
  }
}

function seen({ name, type }: Secret): SeenSecret {
  const text = (source: { specifier: { value?: unknown } } | undefined) => String(source?.specifier.value);
  if (type.case === 'tlsCertificate') {
    const { certificateChain, privateKey } = type.value;
    return { name, certificateChain: text(certificateChain), privateKey: text(privateKey) };
  }
  return type.case === 'validationContext' ? { name, trustedCa: text(type.value.trustedCa) } : { name };
}

/** All streams of one connection. */
export function connectSds(socketPath: string): Client {
  return new Client(`unix:${socketPath}`, credentials.createInsecure());
}

/** What FetchSecrets says. */
export function fetchSecrets(client: Client): Promise<ServiceError | undefined> {
  const { path, requestSerialize, responseDeserialize } = methods.fetchSecrets!;
  const request = create(DiscoveryRequestSchema, { typeUrl, resourceNames: ['default'] });
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      requestSerialize as never,
      responseDeserialize as never,
      request,
      (error: ServiceError | null) => resolve(error ?? undefined),
    );
  });
}
