// Meaning of DestinationRule.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { DestinationRuleSpec } from '../kinds/destination-rule.js';
import type { LoadBalancerSettings } from '../kinds/fields/load-balancer.js';
import type { TrafficPolicy } from '../kinds/fields/traffic-policy.js';
import type { FieldPath } from '../problem.js';
import { checkSelector, checkUnique, type MeaningRule, present, presentEntries } from './rule.js';

export const checkDestinationRule: MeaningRule<DestinationRuleSpec> = (spec, faults) => {
  checkPolicy(spec.trafficPolicy, ['trafficPolicy'], faults);
  checkUnique(
    spec.subsets,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: ['subsets', index, 'name'],
      message: `subset \`${name}\` is there twice; give each its own name`,
    }),
  );
  for (const [index, subset] of present(spec.subsets)) {
    const path = ['subsets', index];
    checkPolicy(subset.trafficPolicy, [...path, 'trafficPolicy'], faults);
    const hasLabels = 'labels' in subset && Object.keys(subset.labels ?? { wrong: '' }).length > 0;
    if (!hasLabels) {
      const message =
        'the subset has no labels, so it is all endpoints of the service; add the labels of its endpoints';
      faults.warning(path, 'empty-selector', message);
    }
  }
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
};

type Policy = Loose<TrafficPolicy>;
type PerPort = Pick<Policy, 'loadBalancer' | 'connectionPool' | 'outlierDetection' | 'tls'>;

function checkPolicy(policy: Policy | undefined, path: FieldPath, faults: FaultList): void {
  if (!policy) return;
  if (Object.keys(policy).length === 0) {
    faults.error(path, 'required', 'the traffic policy has no settings; add one or remove it');
  }
  checkSettings(policy, path, faults);
  const ports = policy.portLevelSettings;
  checkUnique(
    ports,
    ({ port }) => port?.number?.toString(),
    faults,
    (index, port) => ({
      path: [...path, 'portLevelSettings', index, 'port', 'number'],
      message: `port ${port} is there twice; join the settings`,
    }),
  );
  for (const [index, settings] of present(ports)) {
    const at = [...path, 'portLevelSettings', index];
    if (!('port' in settings) || (settings.port && !('number' in settings.port))) {
      faults.error(at, 'required', '`port.number` is required in PortTrafficPolicy; add it');
    }
    checkSettings(settings, at, faults);
  }
}

function checkSettings(
  { loadBalancer, connectionPool, outlierDetection, tls }: PerPort,
  path: FieldPath,
  faults: FaultList,
): void {
  checkLoadBalancer(loadBalancer, [...path, 'loadBalancer'], faults);
  if (loadBalancer?.localityLbSetting && !outlierDetection) {
    const message = 'failover by locality needs `outlierDetection`, or failures are not noticed; add it';
    faults.warning([...path, 'loadBalancer', 'localityLbSetting'], 'required', message);
  }
  if (connectionPool && !('tcp' in connectionPool) && !('http' in connectionPool)) {
    faults.error([...path, 'connectionPool'], 'required', 'the connection pool has no settings; add `tcp` or `http`');
  }
  const http = connectionPool?.http;
  if (http?.useClientProtocol === true && http.h2UpgradePolicy === 'UPGRADE') {
    const message = '`useClientProtocol` and `h2UpgradePolicy: UPGRADE` exclude each other; keep one';
    faults.error([...path, 'connectionPool', 'http', 'useClientProtocol'], 'one-of', message);
  }
  checkOutlierDetection(outlierDetection, [...path, 'outlierDetection'], faults);
  checkTls(tls, [...path, 'tls'], faults);
}

function checkLoadBalancer(
  settings: Loose<LoadBalancerSettings> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  if (!settings) return;
  const maglevSize = settings.consistentHash?.maglev?.tableSize;
  if (maglevSize !== undefined && !isPrime(maglevSize)) {
    const message = `the table size ${maglevSize} is not a prime; write one such as 65537`;
    faults.error([...path, 'consistentHash', 'maglev', 'tableSize'], 'range', message);
  }
  const setting = settings.localityLbSetting;
  for (const [index, distribute] of present(setting?.distribute)) {
    const shares = [...presentEntries(distribute.to)].map(([, share]) => share);
    const sum = shares.reduce((total, share) => total + share, 0);
    if (sum !== 100 && shares.length === Object.keys(distribute.to ?? {}).length) {
      const at = [...path, 'localityLbSetting', 'distribute', index, 'to'];
      faults.error(at, 'weights', `the shares sum to ${sum}; make them 100`);
    }
  }
  for (const [index, { from, to }] of present(setting?.failover)) {
    if (from === undefined || from !== to) continue;
    const at = [...path, 'localityLbSetting', 'failover', index, 'to'];
    faults.error(at, 'duplicate', `region \`${from}\` fails over to itself; name another`);
  }
}

function isPrime(n: number): boolean {
  if (n < 2) return false;
  for (let divisor = 2; divisor * divisor <= n; divisor++) if (n % divisor === 0) return false;
  return true;
}

function checkOutlierDetection(outlier: Policy['outlierDetection'], path: FieldPath, faults: FaultList): void {
  if (!outlier) return;
  if ('consecutiveErrors' in outlier) {
    const message = '`consecutiveErrors` is deprecated and ignored by Istio; write `consecutive5xxErrors`';
    faults.warning([...path, 'consecutiveErrors'], 'deprecated', message, 'key');
  }
  if ('consecutiveLocalOriginFailures' in outlier && outlier.splitExternalLocalOriginErrors !== true) {
    const message = '`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`; add it';
    faults.error([...path, 'consecutiveLocalOriginFailures'], 'required', message, 'key');
  }
}

function checkTls(tls: Policy['tls'], path: FieldPath, faults: FaultList): void {
  if (!tls) return;
  const { mode } = tls;
  const files = ['clientCertificate', 'privateKey', 'caCertificates', 'caCrl'] as const;
  if ('credentialName' in tls) {
    for (const file of files) {
      if (!(file in tls)) continue;
      faults.error([...path, file], 'one-of', `\`credentialName\` and \`${file}\` exclude each other; keep one`, 'key');
    }
  } else if (mode === 'MUTUAL') {
    for (const file of ['clientCertificate', 'privateKey'] as const) {
      if (!tls[file] && !(file in tls && tls[file] === undefined)) {
        faults.error(path, 'required', `\`${file}\` (or \`credentialName\`) is required with mode MUTUAL; add it`);
      }
    }
  }
  if (mode !== 'ISTIO_MUTUAL' && mode !== 'DISABLE') return;
  for (const file of [...files, 'credentialName'] as const) {
    if (!(file in tls)) continue;
    faults.error([...path, file], 'one-of', `\`${file}\` has no place with mode ${mode}; remove it`, 'key');
  }
}
