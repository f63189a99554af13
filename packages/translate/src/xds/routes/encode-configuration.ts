// Build: the bytes of a route configuration, put together from the bytes of its virtual hosts. In protobuf's encoding a
// message is the sequence of its fields in any order, and a repeated field may come in several places: so what is shared
// is copied, and what is a sidecar's own follows it.

import { VirtualHostSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import { RouteConfigurationSchema } from '@lateen/xds-proto/envoy/config/route/v3/route_pb.js';

/** A virtual host's bytes, and domains to add to it. */
export interface EncodedVirtualHost {
  readonly bytes: Uint8Array;
  readonly added: readonly string[];
}

/** Wire type 2: a length and that many bytes. Both field numbers are below 16, so a tag is one byte. */
const LENGTH_DELIMITED = 2;
const VIRTUAL_HOST_TAG = (RouteConfigurationSchema.field.virtualHosts.number << 3) | LENGTH_DELIMITED;
const DOMAIN_TAG = (VirtualHostSchema.field.domains.number << 3) | LENGTH_DELIMITED;

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest > 127; rest >>>= 7) length += 1;
  return length;
}

function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest > 127) {
    target[next++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  target[next++] = rest;
  return next;
}

function fieldLength(contentLength: number): number {
  return 1 + varintLength(contentLength) + contentLength;
}

/** @param head the configuration's bytes without virtual hosts */
export function encodeWithDomains(head: Uint8Array, hosts: readonly EncodedVirtualHost[]): Uint8Array {
  const lengths = hosts.map(({ bytes, added }) =>
    added.reduce((length, domain) => length + fieldLength(Buffer.byteLength(domain)), bytes.length),
  );
  const result = Buffer.alloc(lengths.reduce((total, length) => total + fieldLength(length), head.length));
  result.set(head);
  let at = head.length;
  for (const [index, { bytes, added }] of hosts.entries()) {
    result[at++] = VIRTUAL_HOST_TAG;
    at = writeVarint(result, at, lengths[index]!);
    result.set(bytes, at);
    at += bytes.length;
    for (const domain of added) {
      result[at++] = DOMAIN_TAG;
      at = writeVarint(result, at, Buffer.byteLength(domain));
      at += result.write(domain, at);
    }
  }
  return result;
}
