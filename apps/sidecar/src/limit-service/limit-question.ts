// Rate limit service: what it is asked about a request, read from the core's memory.

import { isIP, isIPv6 } from 'node:net';
import { BinaryWriter } from '@bufbuild/protobuf/wire';
import {
  type Core,
  DESCRIPTOR_ENTRIES,
  DESCRIPTOR_ENTRY_COUNT,
  DESCRIPTORS,
  DESCRIPTORS_DOMAIN,
  DESCRIPTORS_DOMAIN_LENGTH,
  ENTRY_BITS,
  ENTRY_BYTES,
  ENTRY_CLUSTER,
  ENTRY_KEY,
  ENTRY_KIND,
  ENTRY_NETWORK,
  ENTRY_SOURCE,
  ENTRY_VALUE,
} from '@lateen/filters-wasm';
import { groupsText, octetsOf } from '../codec/ip-octets.js';

/** Names that the core does not know. */
export interface QuestionNames {
  /** Where the request goes. */
  readonly cluster: string;
  /** The cluster of the proxy's own node. */
  readonly ownCluster: string;
  /** The filter's; a route may have another one. */
  readonly domain: string;
}

/** Field numbers of envoy.service.ratelimit.v3.RateLimitRequest and of what is in it. */
const DOMAIN = 1;
const DESCRIPTOR_LIST = 2;
const ENTRY_LIST = 1;
const KEY = 1;
const VALUE = 2;
/** Wire type of texts and messages. */
const LENGTH_DELIMITED = 2;

/** describeLimits() has found `count` descriptors: the bytes of a RateLimitRequest. */
export function encodeLimitQuestion({ i32, bytes }: Core, count: number, names: QuestionNames): Uint8Array {
  const text = (place: number): string => {
    const at = i32[place >> 2]!;
    return Buffer.from(bytes.subarray(at, at + i32[(place + 4) >> 2]!)).toString('utf8');
  };
  const request = new BinaryWriter();
  const domain = i32[DESCRIPTORS_DOMAIN_LENGTH >> 2] === 0 ? names.domain : text(DESCRIPTORS_DOMAIN);
  request.tag(DOMAIN, LENGTH_DELIMITED).string(domain);
  let at = DESCRIPTORS;
  for (let left = count; left > 0; left--) {
    request.tag(DESCRIPTOR_LIST, LENGTH_DELIMITED).fork();
    const end = at + DESCRIPTOR_ENTRIES + i32[(at + DESCRIPTOR_ENTRY_COUNT) >> 2]! * ENTRY_BYTES;
    for (at += DESCRIPTOR_ENTRIES; at < end; at += ENTRY_BYTES) {
      request.tag(ENTRY_LIST, LENGTH_DELIMITED).fork();
      request.tag(KEY, LENGTH_DELIMITED).string(text(at + ENTRY_KEY));
      const value = entryValue(i32[(at + ENTRY_KIND) >> 2]!, i32[(at + ENTRY_BITS) >> 2]!, names, () =>
        text(at + ENTRY_VALUE),
      );
      if (value !== '') request.tag(VALUE, LENGTH_DELIMITED).string(value);
      request.join();
    }
    request.join();
  }
  return request.finish();
}

function entryValue(kind: number, bits: number, names: QuestionNames, text: () => string): string {
  if (kind === ENTRY_CLUSTER) return names.cluster;
  if (kind === ENTRY_SOURCE) return names.ownCluster;
  return kind === ENTRY_NETWORK ? networkOf(text(), bits & 0xff, bits >> 8) : text();
}

/** `ADDRESS/BITS` with the other bits zero, in the shortest form; the address itself where it is none. */
export function networkOf(address: string, bits4: number, bits6: number): string {
  if (isIP(address) === 0) return address;
  const inet6 = isIPv6(address);
  const bits = inet6 ? bits6 : bits4;
  const masked = octetsOf(address.replace(/%.*$/, '')).map((octet, index) => {
    const kept = Math.min(8, Math.max(0, bits - index * 8));
    return octet & (0xff << (8 - kept)) & 0xff;
  });
  // The URL's host is the address in its shortest form.
  const network = inet6 ? new URL(`http://[${groupsText(masked)}]`).hostname.slice(1, -1) : masked.join('.');
  return `${network}/${bits}`;
}
