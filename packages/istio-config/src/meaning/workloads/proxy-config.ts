// Meaning of ProxyConfig.
import type { ProxyConfigSpec } from '../../kinds/workloads/proxy-config.js';
import { checkSelector, type MeaningRule } from '../rule.js';

export const checkProxyConfig: MeaningRule<ProxyConfigSpec> = ({ selector }, faults) => {
  checkSelector(selector, ['selector'], faults);
};
