// Interception tests: who is in the pod and outside of it, listening on which ports.
import { type Agent, createNetwork, EXCLUDED, type Namespace, OUTSIDE } from './network.js';
import type { Answer, Order } from './protocol.js';

export const FAMILIES = [4, 6] as const;
export const LOCALHOST = { 4: '127.0.0.1', 6: '::1' } as const;
/** The proxy's user and group. */
export const PROXY = 1337;

export type Actor = 'proxy' | 'app' | 'root' | 'inProxyGroup' | 'outside';

export interface Cast {
  readonly pod: Namespace;
  readonly outside: Namespace;
  readonly agents: Readonly<Record<Actor, Agent>>;
  /** Who answers a connection, and for which destination it was meant where that was changed; or why nobody does. */
  dial(from: Actor, host: string, port: number, source?: string): Promise<string>;
  close(): Promise<void>;
}

function told({ welcome, error }: Answer): string {
  if (welcome === undefined) return `error: ${error}`;
  const { who, originalDestination, local } = welcome;
  return originalDestination === '' || originalDestination === local ? who : `${who} ${originalDestination}`;
}

/**
 * The proxy here only says what came to it; its names it asks the server outside for.
 *
 * @param kind `tproxy`: what comes in comes by TPROXY; `elsewhere`: 15001 and 15006 are another program's
 */
export async function createCast(kind: 'redirect' | 'tproxy' | 'elsewhere' = 'redirect'): Promise<Cast> {
  const tproxy = kind === 'tproxy';
  const { pod, outside, close } = await createNetwork();
  const agents: Record<Actor, Agent> = {
    proxy: tproxy ? pod.startAgent(PROXY, PROXY, ['net_admin']) : pod.startAgent(PROXY),
    app: pod.startAgent(1000),
    root: pod.startAgent(0),
    inProxyGroup: pod.startAgent(1001, PROXY),
    outside: outside.startAgent(0),
  };
  const order = async (actor: Actor, what: Order) => {
    const { error } = await agents[actor].ask(what);
    if (error !== undefined) throw new Error(`${actor}: ${JSON.stringify(what)}: ${error}`);
  };
  const listen = (actor: Actor, who: string, port: number, host = '::') =>
    order(actor, { do: 'listen', who, port, host });
  if (kind !== 'elsewhere') await listen('proxy', 'outbound', 15_001);
  for (const host of tproxy ? ['0.0.0.0', '::'] : []) {
    await order('proxy', { do: 'listen', who: 'inbound', port: 15_006, host, transparent: true });
  }
  if (kind === 'redirect') await listen('proxy', 'inbound', 15_006);
  for (const port of [15_008, 15_020, 15_021, 15_090]) await listen('proxy', 'proxy', port);
  for (const port of [7070, 8080, 9090]) await listen('app', 'app', port);
  for (const port of [80, 7777, 8080, 9999]) await listen('outside', 'outside', port);
  await listen('outside', 'server', 53);
  for (const family of FAMILIES) {
    const host = LOCALHOST[family];
    await listen('proxy', 'names', 15_053, host);
    await order('proxy', { do: 'serve-names', who: 'proxy', port: 15_053, host, forward: OUTSIDE[family] });
    await order('outside', { do: 'serve-names', who: 'server', port: 53, host: OUTSIDE[family] });
    await order('outside', { do: 'serve-names', who: 'other', port: 53, host: EXCLUDED[family] });
  }
  return {
    pod,
    outside,
    agents,
    async dial(from, host, port, source) {
      return told(await agents[from].ask({ do: 'dial', host, port, ...(source === undefined ? {} : { source }) }));
    },
    close,
  };
}
