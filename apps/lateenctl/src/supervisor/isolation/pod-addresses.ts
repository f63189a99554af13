// Isolation: the addresses of pods and services in the network of a mesh, made from their places in the address book. Pure.
//
// The network is the mesh's own: nothing outside of it sees these addresses, so every mesh has the same ranges.

/** The last two bytes are those of 127.B.x.y, which the address book gave. */
const POD_RANGE = { ipv4: '10.244', ipv6: 'fd44::' } as const;
const SERVICE_RANGE = { ipv4: '10.96', ipv6: 'fd96::' } as const;

/** Of the bridge that joins the pods, by which they reach the control plane. */
export const HUB = { ipv4: '10.244.0.1', ipv6: 'fd44::1' } as const;
export const PREFIX_LENGTH = { ipv4: 16, ipv6: 64 } as const;

/** One for each family, IPv4 first. @param address of the address book: 127.B.x.y */
export function podAddresses(address: string, hasIpv6: boolean): readonly string[] {
  return inRange(POD_RANGE, address, hasIpv6);
}

/** Where clients call a service; see `podAddresses`. */
export function serviceAddresses(address: string, hasIpv6: boolean): readonly string[] {
  return inRange(SERVICE_RANGE, address, hasIpv6);
}

/** Of the pod's end at the bridge: at most 15 letters, and another for each pod. */
export function linkName(address: string): string {
  const [high, low] = lastBytes(address);
  return `pod-${high}-${low}`;
}

function inRange(range: typeof POD_RANGE | typeof SERVICE_RANGE, address: string, hasIpv6: boolean): readonly string[] {
  const [high, low] = lastBytes(address);
  const ipv4 = `${range.ipv4}.${high}.${low}`;
  return hasIpv6 ? [ipv4, `${range.ipv6}${((high << 8) | low).toString(16)}`] : [ipv4];
}

function lastBytes(address: string): readonly [number, number] {
  const [, , high, low] = address.split('.').map(Number) as [number, number, number, number];
  return [high, low];
}
