// Conformance, step 5: what one proxy counts while a request of a case is sent: read when nothing else is under way, before and after.

import { waitUntil } from '../../harness/wait-until.js';
import type { ConformanceProxy } from './proxy.js';
import { answeredIn, connectionStatsSince, type ProxyStats, readQuietStats, statsSince } from './proxy-stats.js';

/** What is sent, and by which the end of it is known. */
export type Counted =
  | { readonly kind: 'requests'; readonly times: number }
  | { readonly kind: 'connections' }
  /** Nothing is logged of a connection that is not taken. */
  | { readonly kind: 'refusals' };

/** Whatever a proxy counts of a connection that is not taken it counts when it ends it, which the client has seen. */
const REFUSAL_COUNTED_WITHIN_MS = 3_000;

/**
 * Counts what `send` makes the proxy do.
 *
 * @param send sends, and says by which ids the access log knows what was sent
 * @returns the counters that grew; none where the proxy counts nothing of it
 */
export async function countWhile(
  proxy: ConformanceProxy,
  counted: Counted,
  send: () => Promise<readonly string[]>,
): Promise<ProxyStats> {
  const { statsUrl } = proxy;
  const before = await readQuietStats(statsUrl);
  const ids = await send();
  const since = async () => {
    const after = await readQuietStats(statsUrl);
    return counted.kind === 'requests' ? statsSince(before, after) : connectionStatsSince(before, after);
  };
  const isLogged = () => ids.every((id) => proxy.logOf(id) !== undefined);
  if (counted.kind === 'refusals') {
    const anything = async () => {
      const stats = await since();
      return Object.keys(stats).length > 0 && stats;
    };
    return waitUntil('a refusal to be counted', anything, REFUSAL_COUNTED_WITHIN_MS).catch(() => ({}));
  }
  if (counted.kind === 'connections') {
    // What becomes of a connection is logged and counted when it ends.
    await waitUntil('the connection to be logged', isLogged);
    return since();
  }
  return waitUntil('the requests to be counted or logged', async () => {
    const wasLogged = isLogged();
    const stats = await since();
    // What is no request yet when it is answered is logged, and not counted as one.
    return (wasLogged || answeredIn(stats) >= counted.times) && stats;
  });
}
