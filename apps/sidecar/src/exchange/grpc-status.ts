// Exchange: how a gRPC call ended, which its trailers say.

import type { Core } from '@lateen/filters-wasm';

const NAME = 'grpc-status: ';

/** The status in header lines at `address`, -1 where there is none. */
export function grpcStatusOf(core: Core, address: number, length: number): number {
  const text = core.text(address, length);
  const at = text.startsWith(NAME) ? NAME.length : text.indexOf(`\r\n${NAME}`) + NAME.length + 2;
  if (at < NAME.length + 2 && at !== NAME.length) return -1;
  const end = text.indexOf('\r\n', at);
  const digits = text.slice(at, end < 0 ? undefined : end);
  return /^\d{1,2}$/.test(digits) ? Number(digits) : -1;
}
