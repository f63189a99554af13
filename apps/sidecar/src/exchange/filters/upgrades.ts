// Exchange: whether an upgrade of the connection (WebSocket) or a CONNECT may go through, and where its tunnel ends.

import {
  type Core,
  METHOD_CONNECT,
  METHOD_POST,
  POLICY_FLAG_CONNECT,
  POLICY_FLAG_CONNECT_SET,
  POLICY_FLAG_TERMINATE,
  POLICY_FLAG_TERMINATE_POST,
  POLICY_FLAG_WEBSOCKET,
  POLICY_FLAG_WEBSOCKET_SET,
  POLICY_FLAGS,
  POLICY_TUNNEL_PROXY_MASK,
  POLICY_TUNNEL_PROXY_SHIFT,
} from '@lateen/filters-wasm';
import type { HttpChain } from '../../downstream/http-chain.js';
import type { ProxyVersion } from '../../upstream/upstream-transport.js';

/** The route's word comes before the listener's, as in Envoy; `policy` is 0 where there is none. */
export function upgradeAllowed(core: Core, policy: number, chain: HttpChain, connect: boolean): boolean {
  const flags = flagsOf(core, policy);
  if (connect) return (flags & POLICY_FLAG_CONNECT_SET) === 0 ? chain.connect : (flags & POLICY_FLAG_CONNECT) !== 0;
  return (flags & POLICY_FLAG_WEBSOCKET_SET) === 0 ? chain.websocket : (flags & POLICY_FLAG_WEBSOCKET) !== 0;
}

/** Whether the upstream gets what is in the tunnel, and no HTTP; `method` is METHOD_*. */
export function tunnelEndsHere(core: Core, policy: number, method: number): boolean {
  const flags = flagsOf(core, policy);
  if ((flags & POLICY_FLAG_TERMINATE) === 0) return false;
  return method === METHOD_CONNECT || (method === METHOD_POST && (flags & POLICY_FLAG_TERMINATE_POST) !== 0);
}

/** The PROXY protocol that the upstream of such a tunnel gets first. */
export function tunnelProxyVersion(core: Core, policy: number): ProxyVersion {
  return ((flagsOf(core, policy) >> POLICY_TUNNEL_PROXY_SHIFT) & POLICY_TUNNEL_PROXY_MASK) as ProxyVersion;
}

function flagsOf(core: Core, policy: number): number {
  return policy === 0 ? 0 : core.i32[(policy + POLICY_FLAGS) >> 2]!;
}
