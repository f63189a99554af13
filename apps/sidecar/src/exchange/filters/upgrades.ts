// Exchange: whether an upgrade of the connection (WebSocket) may go through.

import { type Core, POLICY_FLAG_WEBSOCKET, POLICY_FLAG_WEBSOCKET_SET, POLICY_FLAGS } from '@lateen/filters-wasm';
import type { HttpChain } from '../../downstream/http-chain.js';

/** The route's word comes before the listener's, as in Envoy; `policy` is 0 where there is none. */
export function upgradeAllowed(core: Core, policy: number, chain: HttpChain): boolean {
  const flags = policy === 0 ? 0 : core.i32[(policy + POLICY_FLAGS) >> 2]!;
  return (flags & POLICY_FLAG_WEBSOCKET_SET) === 0 ? chain.websocket : (flags & POLICY_FLAG_WEBSOCKET) !== 0;
}
