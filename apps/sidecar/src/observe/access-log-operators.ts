// Access log: the command operators (`%RESPONSE_CODE%`) that a format may use, each as a function of the finished exchange.
// Meanings: https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage

import { hostname } from 'node:os';
import { JWT_METADATA } from '@lateen/filters-wasm';
import type { AccessLogRecord } from '../data-plane.js';
import { ACCESS_LOG_HINT, RBAC_METADATA } from '../rbac/rbac-filter.js';
import { createTimeFormatter } from './time-format.js';

/** A number stays a number in JSON; undefined means that there is no such value. */
export type OperatorValue = string | number | undefined;
export type Operator = (record: AccessLogRecord) => OperatorValue;

type Plain = Readonly<Record<string, Operator>>;

const PLAIN: Plain = {
  PROTOCOL: (record) => record.protocol,
  RESPONSE_CODE: (record) => record.responseCode,
  RESPONSE_FLAGS: (record) => record.responseFlags,
  RESPONSE_CODE_DETAILS: (record) => record.responseCodeDetails,
  GRPC_STATUS_NUMBER: (record) => record.grpcStatus,
  CONNECTION_TERMINATION_DETAILS: (record) => record.connectionTerminationDetails,
  UPSTREAM_TRANSPORT_FAILURE_REASON: (record) => record.upstreamTransportFailureReason,
  BYTES_RECEIVED: (record) => record.bytesReceived,
  BYTES_SENT: (record) => record.bytesSent,
  DURATION: (record) => Math.round(record.durationMs),
  UPSTREAM_HOST: (record) => record.upstreamHost,
  UPSTREAM_CLUSTER: (record) => record.upstreamStatName,
  UPSTREAM_CLUSTER_RAW: (record) => record.upstreamCluster,
  UPSTREAM_LOCAL_ADDRESS: (record) => record.upstreamLocalAddress,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: (record) => record.attemptCount,
  DOWNSTREAM_LOCAL_ADDRESS: (record) => record.downstreamLocalAddress,
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: (record) => hostOf(record.downstreamLocalAddress),
  DOWNSTREAM_LOCAL_PORT: (record) => portOf(record.downstreamLocalAddress),
  DOWNSTREAM_REMOTE_ADDRESS: (record) => record.downstreamRemoteAddress,
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => hostOf(record.downstreamRemoteAddress),
  DOWNSTREAM_REMOTE_PORT: (record) => portOf(record.downstreamRemoteAddress),
  DOWNSTREAM_PEER_URI_SAN: (record) => record.downstreamPeerUriSan,
  REQUESTED_SERVER_NAME: (record) => record.requestedServerName,
  ROUTE_NAME: (record) => record.routeName,
};

/**
 * The operator of a command.
 * @param name for example `REQ`
 * @param argument the text in parentheses, undefined without
 * @param maxLength the number after the colon, undefined without
 * @throws Error naming what is not supported
 */
export function createOperator(name: string, argument: string | undefined, maxLength: number | undefined): Operator {
  return withMaxLength(chooseOperator(name, argument), maxLength);
}

function chooseOperator(name: string, argument: string | undefined): Operator {
  switch (name) {
    case 'START_TIME': {
      const format = createTimeFormatter(argument ?? '');
      return (record) => format(record.startTimeMs);
    }
    case 'REQ':
      return headerOperator(name, argument, requestHeader);
    case 'RESP':
      return headerOperator(name, argument, responseHeader);
    case 'DYNAMIC_METADATA':
      return metadataOperator(argument ?? '');
    case 'GRPC_STATUS':
      return grpcStatusOperator(argument ?? 'CAMEL_STRING');
    case 'HOSTNAME': {
      const host = hostname();
      return () => host;
    }
    case 'ENVIRONMENT': {
      if (argument === undefined || argument === '') throw new Error('%ENVIRONMENT(NAME)% needs a name');
      const value = process.env[argument];
      return () => value;
    }
    default: {
      const operator = PLAIN[name];
      if (operator === undefined) throw new Error(`access log operator %${name}% is not supported`);
      if (argument !== undefined) throw new Error(`access log operator %${name}% takes no argument`);
      return operator;
    }
  }
}

/**
 * `%DYNAMIC_METADATA(NAMESPACE:NAME)%`: what filters have said of a request: those that decide who may, and claims of good
 * tokens, by the name that their provider gives to the payload, and the claim's.
 */
function metadataOperator(argument: string): Operator {
  const [namespace, name, ...deeper] = argument.split(':');
  const isNamed = name !== undefined && name !== '' && !deeper.includes('');
  const isKept =
    isNamed && (namespace === RBAC_METADATA ? deeper.length === 0 : namespace === JWT_METADATA && deeper.length > 0);
  if (!isKept && argument !== ACCESS_LOG_HINT) {
    throw new Error(
      `%DYNAMIC_METADATA(${argument})% is not supported: use ${RBAC_METADATA}:NAME, ${JWT_METADATA}:PAYLOAD:CLAIM or ${ACCESS_LOG_HINT}`,
    );
  }
  return (record) => record.metadata(argument);
}

/** Names by number (gRPC, "Status codes and their use"). */
const GRPC_STATUS_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
];

function snakeCase(name: string): string {
  return name === 'Canceled' ? 'CANCELLED' : name.replaceAll(/(?<=[a-z])[A-Z]/g, '_$&').toUpperCase();
}

/** `%GRPC_STATUS(FORMAT)%`: a code without a name is its number. */
function grpcStatusOperator(format: string): Operator {
  if (!['CAMEL_STRING', 'SNAKE_STRING', 'NUMBER'].includes(format)) {
    throw new Error(`%GRPC_STATUS(${format})% is not supported: use CAMEL_STRING, SNAKE_STRING or NUMBER`);
  }
  return ({ grpcStatus }) => {
    if (grpcStatus === undefined || format === 'NUMBER') return grpcStatus;
    const name = GRPC_STATUS_NAMES[grpcStatus];
    return name === undefined || format === 'CAMEL_STRING' ? (name ?? String(grpcStatus)) : snakeCase(name);
  };
}

type HeaderReader = (name: string) => (record: AccessLogRecord) => string | undefined;

const requestHeader: HeaderReader = (name) => {
  switch (name) {
    case ':method':
      return (record) => record.method;
    case ':path':
      return (record) => record.path;
    case ':authority':
    case 'host':
      return (record) => record.authority;
    default:
      return (record) => record.requestHeader(name);
  }
};

const responseHeader: HeaderReader = (name) => {
  if (name === ':status') return (record) => (record.responseCode === 0 ? undefined : String(record.responseCode));
  return (record) => record.responseHeader(name);
};

/** `X?Y`: the second header stands in where the first is missing. */
function headerOperator(name: string, argument: string | undefined, read: HeaderReader): Operator {
  const [first, second, ...rest] = (argument ?? '').toLowerCase().split('?');
  if (first === undefined || first === '' || rest.length > 0)
    throw new Error(`%${name}(HEADER?ALTERNATIVE)% needs a header name`);
  const primary = read(first);
  if (second === undefined || second === '') return primary;
  const alternative = read(second);
  return (record) => primary(record) ?? alternative(record);
}

function withMaxLength(operator: Operator, maxLength: number | undefined): Operator {
  if (maxLength === undefined) return operator;
  return (record) => {
    const value = operator(record);
    return typeof value === 'string' && value.length > maxLength ? value.slice(0, maxLength) : value;
  };
}

/** `10.0.0.1:80` and `[::1]:80`. */
function hostOf(address: string | undefined): string | undefined {
  if (address === undefined) return undefined;
  const colon = address.lastIndexOf(':');
  return (colon < 0 ? address : address.slice(0, colon)).replace(/^\[|\]$/g, '');
}

function portOf(address: string | undefined): number | undefined {
  if (address === undefined) return undefined;
  const colon = address.lastIndexOf(':');
  return colon < 0 ? undefined : Number(address.slice(colon + 1));
}
