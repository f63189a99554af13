// Build: the address of an endpoint as messages have it: an IP address or a name with a port, or a socket.

import { create } from '@bufbuild/protobuf';
import { type Address, AddressSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { isSocket } from '../resolve/services/workload-entries.js';

/** @param address a socket's is its absolute path, or its name after `@`; it has no port */
export function endpointAddress(address: string, port: number): Address {
  if (isSocket(address)) return create(AddressSchema, { address: { case: 'pipe', value: { path: address } } });
  const portSpecifier = { case: 'portValue' as const, value: port };
  return create(AddressSchema, { address: { case: 'socketAddress', value: { address, portSpecifier } } });
}
