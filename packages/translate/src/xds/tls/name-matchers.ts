// Build: matchers for the names in a peer's certificate.

import { create } from '@bufbuild/protobuf';
import {
  SubjectAltNameMatcher_SanType as SanType,
  type SubjectAltNameMatcher,
  SubjectAltNameMatcherSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';

const IP_ADDRESS = /^(\d{1,3}(\.\d{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:.]+)$/;

/** A name says by its form of which type it is. */
function typeOf(name: string): SanType {
  if (name.includes('://')) return SanType.URI;
  if (IP_ADDRESS.test(name)) return SanType.IP_ADDRESS;
  return name.includes('@') ? SanType.EMAIL : SanType.DNS;
}

/** Matchers of which a certificate must satisfy one. */
export function exactNames(names: readonly string[]): SubjectAltNameMatcher[] {
  return names.map((name) =>
    create(SubjectAltNameMatcherSchema, {
      sanType: typeOf(name),
      matcher: { matchPattern: { case: 'exact', value: name } },
    }),
  );
}
