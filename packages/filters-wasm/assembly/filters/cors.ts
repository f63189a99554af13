// Cross-origin resource sharing (envoy.extensions.filters.http.cors.v3): what scripts of other origins may read of an answer,
// and preflights, which ask for that beforehand.
import {
  CORS_FORWARD_UNMATCHED, CORS_NONE, CORS_ORIGINS, CORS_ORIGIN_COUNT, CORS_PREFLIGHT, CORS_PREFLIGHT_COUNT,
  CORS_PRIVATE_COUNT, CORS_REFUSED, CORS_SHARE, CORS_SHARED, CORS_SHARED_COUNT, SHARE_ANY_ORIGIN, SHARE_COUNT,
  SHARE_ORIGIN, SHARE_ORIGIN_LENGTH, SHARE_ORIGIN_MAX_BYTES, SHARE_POLICY,
} from '../../src/filter-layout';
import { LISTENER_CORS_FILTER, METHOD_OPTIONS, REQ_METHOD, ROUTE_ACTION, ROUTE_ACTION_FORWARD } from '../../src/layout';
import { MATCHER_BYTES, TEXT_ORIGIN, TEXT_REQUEST_METHOD, TEXT_REQUEST_PRIVATE_NETWORK, TEXT_TRUE } from '../../src/table-layout';
import { equals, hashName } from '../ascii';
import { randomBelow } from '../random';
import { putBytes, textAt, textLength } from '../texts';
import { routeConfigOf } from './filter-config';
import { findHeader, foundAt, foundLength, matchText } from '../decide/header-match';

/** See core-functions.ts. */
export function decideCors(listener: i32): i32 {
  store<i32>(SHARE_POLICY, 0);
  // As in Envoy: a redirect or a direct response is not an answer of somebody behind the proxy.
  if (load<i32>(ROUTE_ACTION) != ROUTE_ACTION_FORWARD) return CORS_NONE;
  const policy = routeConfigOf(load<i32>(listener + LISTENER_CORS_FILTER));
  if (policy <= 0 || !holds(policy)) return CORS_NONE;
  if (!findText(TEXT_ORIGIN) || foundLength == 0) return CORS_NONE;
  const allowed = isAllowed(policy, foundAt, foundLength);
  const preflight = load<i32>(REQ_METHOD) == METHOD_OPTIONS && findText(TEXT_REQUEST_METHOD) && foundLength > 0;
  if (!allowed) {
    return preflight && load<i32>(policy + CORS_FORWARD_UNMATCHED) == 0 ? CORS_REFUSED : CORS_NONE;
  }
  store<i32>(SHARE_POLICY, policy);
  store<i32>(SHARE_COUNT, load<i32>(policy + (!preflight ? CORS_SHARED_COUNT : asksForPrivateNetwork() ? CORS_PRIVATE_COUNT : CORS_PREFLIGHT_COUNT)));
  return preflight ? CORS_PREFLIGHT : CORS_SHARED;
}

function holds(policy: i32): bool {
  const share = load<i32>(policy + CORS_SHARE);
  return share >= 1000000 || (share > 0 && randomBelow(1000000) < share);
}

/** A matcher that takes `*` takes every origin, as in Envoy. The origin stays in SHARE_ORIGIN. */
function isAllowed(policy: i32, origin: i32, length: i32): bool {
  if (length > SHARE_ORIGIN_MAX_BYTES) return false;
  putBytes(SHARE_ORIGIN, origin, length);
  store<i32>(SHARE_ORIGIN_LENGTH, length);
  store<u8>(SHARE_ANY_ORIGIN, 0x2a);
  const matchers = policy + load<i32>(policy + CORS_ORIGINS);
  for (let i = 0, count = load<i32>(policy + CORS_ORIGIN_COUNT); i < count; i++) {
    const matcher = matchers + i * MATCHER_BYTES;
    if (matchText(policy, matcher, SHARE_ANY_ORIGIN, 1) || matchText(policy, matcher, SHARE_ORIGIN, length)) return true;
  }
  return false;
}

function asksForPrivateNetwork(): bool {
  return findText(TEXT_REQUEST_PRIVATE_NETWORK) && foundLength == textLength(TEXT_TRUE)
    && equals(foundAt, textAt(TEXT_TRUE), foundLength);
}

/** Finds a header whose name is a text. */
function findText(id: i32): bool {
  const name = textAt(id);
  const length = textLength(id);
  return findHeader(name, length, hashName(name, length));
}
