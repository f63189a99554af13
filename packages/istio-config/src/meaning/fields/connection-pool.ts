// Meaning of limits on connections and requests.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { ConnectionPoolSettings } from '../../kinds/fields/connection-pool.js';
import type { FieldPath } from '../../problem.js';

/** There is something in the pool, and the protocol upstream is chosen in one way. */
export function checkConnectionPool(
  pool: Loose<ConnectionPoolSettings> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  if (!pool) return;
  if (!('tcp' in pool) && !('http' in pool)) {
    faults.error(path, 'required', 'the connection pool has no settings; add `tcp` or `http`');
  }
  const { http } = pool;
  if (http?.useClientProtocol === true && http.h2UpgradePolicy === 'UPGRADE') {
    const message = '`useClientProtocol` and `h2UpgradePolicy: UPGRADE` exclude each other; keep one';
    faults.error([...path, 'http', 'useClientProtocol'], 'one-of', message);
  }
}
