// Bridges a generated service description to the method table that gRPC for Node takes.

import { type DescMethod, type DescService, fromBinary, type Message, toBinary } from '@bufbuild/protobuf';

/** One method as @grpc/grpc-js's `MethodDefinition`; kept structural so that this package does not depend on a transport. */
export interface GrpcMethod {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly requestSerialize: (message: Message) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Message;
  readonly responseSerialize: (message: Message) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Message;
}

function toBuffer(method: DescMethod['input'], message: Message): Buffer {
  const bytes = toBinary(method, message);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The method table of a generated service, by the method's local (camelCase) name. */
export function grpcService(service: DescService): Record<string, GrpcMethod> {
  const table: Record<string, GrpcMethod> = {};
  for (const method of service.methods) {
    table[method.localName] = {
      path: `/${service.typeName}/${method.name}`,
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: (message) => toBuffer(method.input, message),
      requestDeserialize: (bytes) => fromBinary(method.input, bytes),
      responseSerialize: (message) => toBuffer(method.output, message),
      responseDeserialize: (bytes) => fromBinary(method.output, bytes),
    };
  }
  return table;
}
