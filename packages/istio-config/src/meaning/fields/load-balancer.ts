// Meaning of how an endpoint is picked.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { LoadBalancerSettings } from '../../kinds/fields/load-balancer.js';
import type { OutlierDetection } from '../../kinds/fields/traffic-policy.js';
import type { FieldPath } from '../../problem.js';
import { checkLocalities } from './locality.js';

type Settings = Loose<LoadBalancerSettings>;

/** Checks hashing and localities; failover needs to know which endpoints fail. */
export function checkLoadBalancer(
  settings: Settings | undefined,
  outlierDetection: Loose<OutlierDetection> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  if (!settings) return;
  checkConsistentHash(settings.consistentHash, [...path, 'consistentHash'], faults);
  const setting = settings.localityLbSetting;
  checkLocalities(setting, [...path, 'localityLbSetting'], faults);
  const failsOver = (setting?.failover?.length ?? 0) > 0 || (setting?.failoverPriority?.length ?? 0) > 0;
  if (failsOver && !outlierDetection) {
    const message = 'failover by locality needs `outlierDetection`, or failures are not noticed; add it';
    faults.warning([...path, 'localityLbSetting'], 'required', message);
  }
}

const HASH_KEYS = ['httpHeaderName', 'httpCookie', 'useSourceIp', 'httpQueryParameterName'] as const;

function checkConsistentHash(hash: Settings['consistentHash'], path: FieldPath, faults: FaultList): void {
  if (!hash) return;
  if (!HASH_KEYS.some((key) => key in hash)) {
    const message = `nothing says what is hashed, so endpoints are picked at random; add one of ${HASH_KEYS.join(', ')}`;
    faults.warning(path, 'required', message);
  }
  if ((hash.minimumRingSize ?? 0) !== 0) {
    const message = '`minimumRingSize` is deprecated; write `ringHash.minimumRingSize`';
    faults.warning([...path, 'minimumRingSize'], 'deprecated', message, 'key');
    for (const field of ['ringHash', 'maglev'] as const) {
      if (!(field in hash)) continue;
      const both = `\`minimumRingSize\` and \`${field}\` exclude each other; keep \`${field}\``;
      faults.error([...path, field], 'one-of', both, 'key');
    }
  }
  const { maglev } = hash;
  if (!maglev || ('tableSize' in maglev && maglev.tableSize === undefined)) return;
  const { tableSize = 0 } = maglev;
  if (tableSize === 0) {
    faults.error([...path, 'maglev'], 'required', '`tableSize` is required in MagLev; add a prime such as 65537');
  } else if (!isPrime(tableSize)) {
    const message = `the table size ${tableSize} is not a prime; write one such as 65537`;
    faults.error([...path, 'maglev', 'tableSize'], 'range', message);
  }
}

/** Envoy's test, which takes 1 for a prime. */
function isPrime(n: number): boolean {
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return true;
}
