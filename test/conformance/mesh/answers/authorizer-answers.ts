// Conformance: what a pod answers that proxies ask as an authorizer; the words of a case decide.

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  type CheckRequest,
  CheckRequestSchema,
  CheckResponseSchema,
} from '@lateen/xds-proto/envoy/service/auth/v3/external_auth_pb.js';

export const CHECK = '/envoy.service.auth.v3.Authorization/Check';
/** Where a pod is asked by HTTP: providers put it before the path of the request. */
export const CHECK_PATH = '/authorize';
/** By this header a case says what becomes of a request: `deny`, `silent`, `trouble`; else it may go on. */
const VERDICT = 'x-verdict';
const PREFIX_BYTES = 5;
/** Headers that a check may have; those that proxies add differ from one to the next. */
const TOLD = /^(?:authorization|cookie|x-in-.*|.*-told|x-added|x-forged|x-envoy-auth-partial-body)$/;

interface HttpVerdict {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: string;
}

function toldText(headers: readonly (readonly [string, string])[]): string {
  return headers
    .filter(([name]) => TOLD.test(name))
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join(' ');
}

/** By HTTP. Undefined: none at all. */
export function httpVerdict(
  pod: string,
  method: string,
  path: string,
  host: string,
  headers: readonly (readonly [string, string])[],
  body: string,
): HttpVerdict | undefined {
  const verdict = headers.find(([name]) => name === VERDICT)?.[1];
  if (verdict === 'silent') return undefined;
  if (verdict === 'trouble') return { status: 503, headers: {}, body: '' };
  const asked = `${method} ${path} ${host} [${toldText(headers)}] ${body}`.trim();
  const told = { 'x-asked': asked, 'x-user': 'ann', 'x-up-by': pod, 'x-not-listed': 'yes' };
  if (verdict === 'deny') {
    const headers = { ...told, 'www-authenticate': 'Bearer', 'content-type': 'text/html' };
    return { status: 401, headers, body: `denied by ${pod}\n` };
  }
  return { status: 200, headers: { ...told, 'x-envoy-auth-headers-to-remove': 'x-secret, authorization' }, body: '' };
}

/** By gRPC, a message with its prefix to one with a prefix. Undefined: none at all. */
export function grpcVerdict(pod: string, message: Buffer): Buffer | undefined {
  const asked = fromBinary(CheckRequestSchema, message.subarray(PREFIX_BYTES));
  const http = asked.attributes?.request?.http;
  const verdict = http?.headers[VERDICT];
  if (verdict === 'silent') return undefined;
  const seen = askedText(asked);
  const denies = verdict === 'deny' || (http === undefined && portOf(asked) === 9001);
  const header = (key: string, value: string) => ({ header: { key, value }, append: false });
  const answer = denies
    ? create(CheckResponseSchema, {
        status: { code: 7 },
        httpResponse: {
          case: 'deniedResponse',
          value: {
            status: { code: 401 },
            headers: [header('x-asked', seen), header('www-authenticate', 'Bearer')],
            body: `denied by ${pod}\n`,
          },
        },
      })
    : create(CheckResponseSchema, {
        status: { code: 0 },
        httpResponse: {
          case: 'okResponse',
          value: {
            headers: [
              header('x-user', 'ann'),
              { header: { key: 'x-plain', value: pod } },
              { header: { key: 'x-list', value: pod }, append: true },
            ],
            headersToRemove: ['x-secret', 'authorization'],
            queryParametersToSet: [{ key: 'by', value: pod }],
            queryParametersToRemove: ['secret'],
            responseHeadersToAdd: [header('x-asked', seen)],
          },
        },
      });
  const bytes = toBinary(CheckResponseSchema, answer);
  const prefix = Buffer.alloc(PREFIX_BYTES);
  prefix.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([prefix, bytes]);
}

function portOf({ attributes }: CheckRequest): number | undefined {
  const address = attributes?.destination?.address?.address;
  if (address?.case !== 'socketAddress') return undefined;
  return address.value.portSpecifier.case === 'portValue' ? address.value.portSpecifier.value : undefined;
}

function askedText({ attributes }: CheckRequest): string {
  const http = attributes?.request?.http;
  if (http === undefined) return 'a connection';
  const { method, path, host, scheme, protocol, headers, body, rawBody } = http;
  const sent = body === '' ? Buffer.from(rawBody).toString('latin1') : body;
  return `${method} ${path} ${host} ${scheme} ${protocol} [${toldText(Object.entries(headers))}] ${sent}`.trim();
}
