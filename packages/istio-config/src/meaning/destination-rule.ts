// Meaning of DestinationRule.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { DestinationRuleSpec } from '../kinds/destination-rule.js';
import type { TrafficPolicy } from '../kinds/fields/traffic-policy.js';
import type { FieldPath } from '../problem.js';
import { checkClientTls } from './fields/client-tls.js';
import { checkConnectionPool } from './fields/connection-pool.js';
import { checkExportTo } from './fields/export-to.js';
import { checkLoadBalancer } from './fields/load-balancer.js';
import { checkSelector, checkUnique, type MeaningRule, present } from './rule.js';

export const checkDestinationRule: MeaningRule<DestinationRuleSpec> = (spec, faults, { namespace }) => {
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
  checkExportTo(spec.exportTo, { namespace, ownOnly: 'workloadSelector' in spec }, faults);
};

type Policy = Loose<TrafficPolicy>;
type PerPort = Pick<Policy, 'loadBalancer' | 'connectionPool' | 'outlierDetection' | 'tls'>;

function checkPolicy(policy: Policy | undefined, path: FieldPath, faults: FaultList): void {
  if (!policy) return;
  if (Object.keys(policy).length === 0) {
    faults.error(path, 'required', 'the traffic policy has no settings; add one or remove it');
  }
  if ('tunnel' in policy && 'proxyProtocol' in policy) {
    const message = '`tunnel` and `proxyProtocol` exclude each other; keep one';
    faults.error([...path, 'proxyProtocol'], 'one-of', message, 'key');
  }
  const protocol = policy.tunnel?.protocol;
  if (protocol && protocol !== 'CONNECT' && protocol !== 'POST') {
    const message = `\`${protocol}\` is no way to open a tunnel; write CONNECT or POST`;
    faults.error([...path, 'tunnel', 'protocol'], 'enum', message);
  }
  checkSettings(policy, path, faults);
  checkPortPolicies(policy.portLevelSettings, [...path, 'portLevelSettings'], faults);
}

function checkPortPolicies(ports: Policy['portLevelSettings'], path: FieldPath, faults: FaultList): void {
  checkUnique(
    ports,
    ({ port }) => port?.number?.toString(),
    faults,
    (index, port) => ({
      path: [...path, index, 'port', 'number'],
      message: `port ${port} is there twice; join the settings`,
    }),
  );
  for (const [index, settings] of present(ports)) {
    const at = [...path, index];
    if (!('port' in settings) || (settings.port && !('number' in settings.port))) {
      faults.error(at, 'required', '`port.number` is required in PortTrafficPolicy; add it');
    }
    if (Object.keys(settings).every((field) => field === 'port')) {
      faults.error(at, 'required', 'the policy of the port has no settings; add one or remove it');
    }
    checkSettings(settings, at, faults);
  }
}

function checkSettings(
  { loadBalancer, connectionPool, outlierDetection, tls }: PerPort,
  path: FieldPath,
  faults: FaultList,
): void {
  checkLoadBalancer(loadBalancer, outlierDetection, [...path, 'loadBalancer'], faults);
  checkConnectionPool(connectionPool, [...path, 'connectionPool'], faults);
  checkOutlierDetection(outlierDetection, [...path, 'outlierDetection'], faults);
  checkClientTls(tls, [...path, 'tls'], faults);
}

function checkOutlierDetection(outlier: Policy['outlierDetection'], path: FieldPath, faults: FaultList): void {
  if (!outlier) return;
  if (outlier.consecutiveErrors) {
    const message = '`consecutiveErrors` is deprecated and ignored by Istio; write `consecutive5xxErrors`';
    faults.warning([...path, 'consecutiveErrors'], 'deprecated', message, 'key');
  }
  if (outlier.consecutiveLocalOriginFailures && outlier.splitExternalLocalOriginErrors !== true) {
    const message = '`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`; add it';
    faults.error([...path, 'consecutiveLocalOriginFailures'], 'required', message, 'key');
  }
}
