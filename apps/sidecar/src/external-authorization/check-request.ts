// External authorization: what an authorizer is asked by gRPC (envoy.service.auth.v3.CheckRequest), about a request or a connection.

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { AttributeContext_HttpRequestSchema } from '@lateen/xds-proto/envoy/service/auth/v3/attribute_context_pb.js';
import { CheckRequestSchema } from '@lateen/xds-proto/envoy/service/auth/v3/external_auth_pb.js';
import type { PresentedAddresses } from '../downstream/listener-filters/proxy-header.js';
import { type AskedRequest, PARTIAL_BODY } from './asked-request.js';
import type { Authorizer } from './authorizer.js';

/** Both ends of the client's connection. */
export interface AskedConnection {
  readonly addresses: PresentedAddresses | undefined;
  /** Names of the client's certificate, the principal first; none where there is none. */
  readonly names: readonly string[];
  /** The name that this side's certificate has. */
  readonly ownName: string;
  readonly serverName: string;
}

/** What is here of a request's body, without framing. */
export interface AskedBody {
  readonly bytes: Buffer;
  /** There is more. */
  readonly partial: boolean;
}

/** Bytes as Envoy tells them where texts are asked for. */
function sanitized(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  const text = bytes.toString('utf8');
  if (!text.includes('\ufffd')) return text;
  return latin1.replaceAll(/[\x80-\xff]/g, '!');
}

function peer(address: string | undefined, port: number | undefined, principal: string, service = '') {
  const socket =
    address === undefined
      ? {}
      : {
          address: {
            address: {
              case: 'socketAddress' as const,
              value: { address, portSpecifier: { case: 'portValue' as const, value: port ?? 0 } },
            },
          },
        };
  return { ...socket, principal, service };
}

function source({ addresses, names }: AskedConnection, service?: string) {
  return peer(addresses?.remoteAddress, addresses?.remotePort, names[0] ?? '', service);
}

function destination({ addresses, ownName }: AskedConnection) {
  return peer(addresses?.localAddress, addresses?.localPort, ownName);
}

function tlsSession(connection: AskedConnection, told: boolean) {
  return told && connection.serverName !== '' ? { tlsSession: { sni: connection.serverName } } : {};
}

/** About a connection, of which nothing else is known. */
export function connectionQuestion(connection: AskedConnection, tellsServerName: boolean): Uint8Array {
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        source: source(connection),
        destination: destination(connection),
        ...tlsSession(connection, tellsServerName),
      },
    }),
  );
}

/** @param id of the request, the proxy's own */
export function requestQuestion(
  authorizer: Pick<Authorizer, 'isTold' | 'rawHeaders' | 'body' | 'tellsServerName'>,
  asked: AskedRequest,
  connection: AskedConnection,
  body: AskedBody | undefined,
  facts: { readonly id: string; readonly startMs: number; readonly bodyBytes: number },
): Uint8Array {
  const service = asked.headers.find(([name]) => name === 'x-envoy-downstream-service-cluster')?.[1];
  const http: MessageInitShape<typeof AttributeContext_HttpRequestSchema> = {
    id: facts.id,
    method: asked.method,
    path: sanitized(asked.path),
    host: asked.authority,
    scheme: asked.scheme,
    protocol: asked.protocol,
    size: BigInt(facts.bodyBytes),
    ...headersOf(authorizer, asked, body),
    ...(body === undefined
      ? {}
      : authorizer.body?.asBytes === true
        ? { rawBody: Uint8Array.from(body.bytes) }
        : { body: sanitized(body.bytes.toString('latin1')) }),
  };
  return toBinary(
    CheckRequestSchema,
    create(CheckRequestSchema, {
      attributes: {
        source: source(connection, service),
        destination: destination(connection),
        request: { time: timestampFromMs(facts.startMs), http },
        ...tlsSession(connection, authorizer.tellsServerName),
      },
    }),
  );
}

/** With those that HTTP/2 has, as Envoy tells them. */
export function toldHeaders(asked: AskedRequest, isTold: (name: string) => boolean): (readonly [string, string])[] {
  const pseudo: (readonly [string, string])[] = [
    [':authority', asked.authority],
    ...(asked.path === '' ? [] : [[':path', asked.path] as const]),
    [':method', asked.method],
    [':scheme', asked.scheme],
  ];
  return [...pseudo, ...asked.headers].filter(([name]) => isTold(name));
}

function headersOf(
  { isTold, rawHeaders }: Pick<Authorizer, 'isTold' | 'rawHeaders'>,
  asked: AskedRequest,
  body: AskedBody | undefined,
) {
  const told = toldHeaders(asked, isTold);
  const mark: [string, string][] = body === undefined ? [] : [[PARTIAL_BODY, String(body.partial)]];
  if (rawHeaders) {
    const headers = [...told, ...mark].map(([key, value]) => ({
      key,
      rawValue: Uint8Array.from(Buffer.from(value, 'latin1')),
    }));
    return { headerMap: { headers } };
  }
  const joined = new Map<string, string>();
  for (const [name, value] of told) {
    const before = joined.get(name);
    joined.set(name, before === undefined ? value : `${before},${value}`);
  }
  for (const [name, value] of mark) joined.set(name, value);
  return { headers: Object.fromEntries([...joined].map(([name, value]) => [name, sanitized(value)])) };
}
