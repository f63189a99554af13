// gRPC answers: the status for an HTTP one (gRPC "HTTP to gRPC Status Code Mapping"), and messages as headers carry them.

const INTERNAL = 13;
const UNAUTHENTICATED = 16;
const PERMISSION_DENIED = 7;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;
const UNKNOWN = 2;

/** See core-functions.ts. */
export function grpcStatusOf(status: i32): i32 {
  switch (status) {
    case 400:
      return INTERNAL;
    case 401:
      return UNAUTHENTICATED;
    case 403:
      return PERMISSION_DENIED;
    case 404:
      return UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return UNAVAILABLE;
    default:
      return UNKNOWN;
  }
}

/** Writes a message percent-encoded: what is not printable ASCII, and `%`. The place after it; it may need three times the room. */
export function putGrpcMessage(out: i32, from: i32, length: i32): i32 {
  for (let i = 0; i < length; i++) {
    const byte = <i32>load<u8>(from + i);
    if (byte >= 0x20 && byte <= 0x7e && byte != 0x25) {
      store<u8>(out++, byte);
      continue;
    }
    store<u8>(out, 0x25);
    store<u8>(out + 1, digit(byte >> 4));
    store<u8>(out + 2, digit(byte & 15));
    out += 3;
  }
  return out;
}

@inline
function digit(value: i32): i32 {
  return value < 10 ? 0x30 + value : 0x37 + value;
}
