// gRPC requests: how they show themselves, and the time that they give (gRPC over HTTP/2, "Requests"). Envoy's rules.
import {
  REQ_FLAGS, REQ_GRPC_TIMEOUT_MS, REQUEST_GRPC, ROUTE_STREAM_MS, ROUTE_TIMEOUT_MS,
} from '../../src/layout';
import {
  POLICY_GRPC_TIMEOUT_MAX_MS, POLICY_MAX_STREAM_DURATION_MS, POLICY_PER_TRY_TIMEOUT_MS, POLICY_STREAM_GRPC_MAX_MS,
  POLICY_STREAM_GRPC_OFFSET_MS, POLICY_TIMEOUT_MS, TEXT_GRPC,
} from '../../src/table-layout';
import { equals, parseDigits } from '../ascii';
import { putNumber, textAt, textLength } from '../texts';

const MAX_DIGITS = 8;
/** A timer's longest time: 24 days. */
const MAX_MS: f64 = 2147483647;

/** Whether a content-type is `application/grpc`, alone or with `+` and a format. */
export function isGrpcType(at: i32, length: i32): bool {
  const grpc = textLength(TEXT_GRPC);
  if (length < grpc || !equals(at, textAt(TEXT_GRPC), grpc)) return false;
  return length == grpc || load<u8>(at + grpc) == 0x2b;
}

/** The ms of a grpc-timeout (eight digits and a unit), rounded up; -1 where it is none. */
export function readGrpcTimeout(at: i32, length: i32): f64 {
  if (length < 2 || length > MAX_DIGITS + 1) return -1;
  const amount = parseDigits(at, length - 1);
  if (amount < 0) return -1;
  switch (load<u8>(at + length - 1)) {
    case 0x48: // H
      return amount * 3600000;
    case 0x4d: // M
      return amount * 60000;
    case 0x53: // S
      return amount * 1000;
    case 0x6d: // m
      return amount;
    case 0x75: // u
      return Math.ceil(amount / 1000);
    case 0x6e: // n
      return Math.ceil(amount / 1000000);
    default:
      return -1;
  }
}

@inline
function timer(ms: f64): i32 {
  return <i32>(ms < MAX_MS ? ms : MAX_MS);
}

/**
 * Sets ROUTE_TIMEOUT_MS and ROUTE_STREAM_MS from the policy and what the request asks for. Returns what grpc-timeout has to
 * say to the upstream, 0 where it stays as it is.
 */
export function chooseTimeouts(policy: i32): f64 {
  if (policy == 0) {
    store<i32>(ROUTE_TIMEOUT_MS, 0);
    store<i32>(ROUTE_STREAM_MS, 0);
    return 0;
  }
  store<i32>(ROUTE_TIMEOUT_MS, load<i32>(policy + POLICY_TIMEOUT_MS));
  store<i32>(ROUTE_STREAM_MS, load<i32>(policy + POLICY_MAX_STREAM_DURATION_MS));
  if ((load<i32>(REQ_FLAGS) & REQUEST_GRPC) == 0) return 0;
  const asked = load<f64>(REQ_GRPC_TIMEOUT_MS);
  const streamMax = <f64>load<i32>(policy + POLICY_STREAM_GRPC_MAX_MS);
  if (streamMax >= 0 || load<i32>(ROUTE_STREAM_MS) > 0) {
    // Of the two ways to limit gRPC the route has chosen this one. Only a header can change the limit.
    if (streamMax >= 0 && asked >= 0) {
      const offset = <f64>load<i32>(policy + POLICY_STREAM_GRPC_OFFSET_MS);
      const limited = streamMax > 0 && (asked == 0 || asked > streamMax) ? streamMax : asked;
      store<i32>(ROUTE_STREAM_MS, timer(offset < limited ? limited - offset : limited));
    }
    return <f64>load<i32>(ROUTE_STREAM_MS);
  }
  const max = <f64>load<i32>(policy + POLICY_GRPC_TIMEOUT_MAX_MS);
  if (max < 0) return 0;
  // No header, and 0, mean no end; and so does a maximum of 0.
  let chosen = asked > 0 ? asked : 0;
  if (max > 0 && (chosen == 0 || chosen > max)) chosen = max;
  store<i32>(ROUTE_TIMEOUT_MS, timer(chosen));
  const perTry = <f64>load<i32>(policy + POLICY_PER_TRY_TIMEOUT_MS);
  return perTry > 0 && (chosen == 0 || perTry < chosen) ? perTry : chosen;
}

/** Writes a grpc-timeout in the finest unit from ms on that has room for it. */
export function putGrpcTimeout(out: i32, ms: f64): i32 {
  let amount = <u64>ms;
  let unit: u8 = 0x6d;
  if (amount > 99999999) {
    amount /= 1000;
    unit = 0x53;
  }
  if (amount > 99999999) {
    amount /= 60;
    unit = 0x4d;
  }
  if (amount > 99999999) {
    amount /= 60;
    unit = 0x48;
  }
  const end = putNumber(out, amount > 99999999 ? 99999999 : amount);
  store<u8>(end, unit);
  return end + 1;
}
