// Observe: addresses of sockets as logs and metrics write them.

/** `host:port`, an IPv6 address in brackets; the path of a pipe. */
export function addressText(address = '', port = 0): string {
  if (port === 0 && (address.startsWith('/') || address.startsWith('@'))) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
