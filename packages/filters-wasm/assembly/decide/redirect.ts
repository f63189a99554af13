// The location of a redirect (envoy.config.route.v3.RedirectAction), built in VALUE_SCRATCH.
import {
  REQ_AUTHORITY_LENGTH, REQ_AUTHORITY_OFFSET, REQ_PATH_LENGTH, REQ_PATH_OFFSET, REQ_PATH_ONLY_LENGTH,
  ROUTE_LOCATION_LENGTH, ROUTE_LOCATION_OFFSET, ROUTE_MATCHED_PREFIX_LENGTH, VALUE_SCRATCH,
} from '../../src/layout';
import {
  ROUTE_ENTRY_FLAGS, ROUTE_ENTRY_FLAG_REDIRECT_PATH, ROUTE_ENTRY_FLAG_REDIRECT_PREFIX, ROUTE_ENTRY_FLAG_STRIP_QUERY,
  ROUTE_ENTRY_HOST_LENGTH, ROUTE_ENTRY_HOST_OFFSET, ROUTE_ENTRY_REDIRECT_PORT, ROUTE_ENTRY_REGEX_REWRITE,
  ROUTE_ENTRY_REDIRECT_SCHEME, ROUTE_ENTRY_REWRITE_LENGTH, ROUTE_ENTRY_REWRITE_OFFSET, TEXT_HTTP, TEXT_HTTPS,
} from '../../src/table-layout';
import { findByte } from '../ascii';
import { putBytes, putNumber, putText } from '../texts';
import { rewritePath } from './regex-rewrite';

/** As the route's redirect action says; false where the location has no room. */
export function buildRedirect(table: i32, entry: i32, secure: i32): bool {
  const scheme = load<i32>(entry + ROUTE_ENTRY_REDIRECT_SCHEME);
  const port = load<i32>(entry + ROUTE_ENTRY_REDIRECT_PORT);
  const toHttps = scheme == 0 ? secure != 0 : scheme == 2;
  let out = putScheme(toHttps);
  const hostLength = load<i32>(entry + ROUTE_ENTRY_HOST_LENGTH);
  let host = load<i32>(REQ_AUTHORITY_OFFSET);
  let length = load<i32>(REQ_AUTHORITY_LENGTH);
  if (hostLength >= 0) {
    host = table + load<i32>(entry + ROUTE_ENTRY_HOST_OFFSET);
    length = hostLength;
  } else if (port != 0 || scheme != 0) {
    const bare = hostWithoutPort(host, length);
    // With a changed scheme only the old scheme's own port goes (Envoy: RedirectAction.scheme_redirect).
    if (port != 0 || isDefaultPort(host + bare, length - bare, secure != 0)) length = bare;
  }
  out = putBytes(out, host, length);
  if (port != 0) {
    store<u8>(out, 0x3a);
    out = putNumber(out + 1, port);
  }
  out = putPath(out, table, entry);
  if (out == 0) return false;
  finish(out);
  return true;
}

/** https with the same authority (without port 80) and path: what `require_tls` asks for. */
export function buildTlsRedirect(): void {
  let out = putScheme(true);
  const host = load<i32>(REQ_AUTHORITY_OFFSET);
  let length = load<i32>(REQ_AUTHORITY_LENGTH);
  const bare = hostWithoutPort(host, length);
  if (isDefaultPort(host + bare, length - bare, false)) length = bare;
  out = putBytes(out, host, length);
  finish(putBytes(out, load<i32>(REQ_PATH_OFFSET), load<i32>(REQ_PATH_LENGTH)));
}

@inline
function finish(out: i32): void {
  store<i32>(ROUTE_LOCATION_OFFSET, VALUE_SCRATCH);
  store<i32>(ROUTE_LOCATION_LENGTH, out - VALUE_SCRATCH);
}

function putScheme(https: bool): i32 {
  const out = putText(VALUE_SCRATCH, https ? TEXT_HTTPS : TEXT_HTTP);
  store<u32>(out, 0x002f2f3a); // "://"
  return out + 3;
}

function hostWithoutPort(at: i32, length: i32): i32 {
  let i = length;
  while (i > 0) {
    const byte = load<u8>(at + i - 1);
    if (byte == 0x3a) return i - 1;
    if (byte < 0x30 || byte > 0x39) break;
    i--;
  }
  return length;
}

/** `:80` at http, `:443` at https. */
function isDefaultPort(at: i32, length: i32, https: bool): bool {
  if (https) return length == 4 && load<u32>(at) == 0x3334343a;
  return length == 3 && (load<u32>(at) & 0xffffff) == 0x30383a;
}

/** The place after the path, 0 where it has no room. */
function putPath(out: i32, table: i32, entry: i32): i32 {
  const flags = load<i32>(entry + ROUTE_ENTRY_FLAGS);
  const regexRewrite = load<i32>(entry + ROUTE_ENTRY_REGEX_REWRITE);
  if (regexRewrite != 0) return rewritePath(table, table + regexRewrite, out, (flags & ROUTE_ENTRY_FLAG_STRIP_QUERY) == 0);
  const path = load<i32>(REQ_PATH_OFFSET);
  const pathOnly = load<i32>(REQ_PATH_ONLY_LENGTH);
  const queryLength = (flags & ROUTE_ENTRY_FLAG_STRIP_QUERY) != 0 ? 0 : load<i32>(REQ_PATH_LENGTH) - pathOnly;
  const rewrite = table + load<i32>(entry + ROUTE_ENTRY_REWRITE_OFFSET);
  const rewriteLength = load<i32>(entry + ROUTE_ENTRY_REWRITE_LENGTH);
  if ((flags & ROUTE_ENTRY_FLAG_REDIRECT_PATH) != 0) {
    out = putBytes(out, rewrite, rewriteLength);
    // A replacement with a query of its own takes the place of the request's.
    if (findByte(rewrite, rewrite + rewriteLength, 0x3f) < rewrite + rewriteLength) return out;
    return putBytes(out, path + pathOnly, queryLength);
  }
  if ((flags & ROUTE_ENTRY_FLAG_REDIRECT_PREFIX) != 0) {
    const matched = load<i32>(ROUTE_MATCHED_PREFIX_LENGTH);
    out = putBytes(out, rewrite, rewriteLength);
    return putBytes(out, path + matched, pathOnly - matched + queryLength);
  }
  return putBytes(out, path, pathOnly + queryLength);
}
