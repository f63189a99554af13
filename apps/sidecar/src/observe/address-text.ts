// Observe: addresses of sockets as logs and metrics write them.

/** `host:port`, an IPv6 address in brackets. */
export function addressText(address = '', port = 0): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
