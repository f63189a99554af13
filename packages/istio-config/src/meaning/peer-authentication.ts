// Meaning of PeerAuthentication.
import type { PeerAuthenticationSpec } from '../kinds/peer-authentication.js';
import { checkSelector, type MeaningRule } from './rule.js';

export const checkPeerAuthentication: MeaningRule<PeerAuthenticationSpec> = (spec, faults, context) => {
  const { selector, portLevelMtls } = spec;
  checkSelector(selector, ['selector'], faults);
  const selects = Object.keys(selector?.matchLabels ?? {}).length > 0;
  if (portLevelMtls && Object.keys(portLevelMtls).length === 0) {
    faults.error(['portLevelMtls'], 'required', '`portLevelMtls` has no ports; add one or remove it', 'key');
  } else if (portLevelMtls && !selects) {
    const message = '`portLevelMtls` needs a selector, since ports belong to workloads; add `selector.matchLabels`';
    faults.error(['portLevelMtls'], 'required', message, 'key');
  }
  for (const port of Object.keys(portLevelMtls ?? {})) {
    if (/^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535) continue;
    const message = `\`${port}\` is not a port of a workload; write a number from 1 to 65535`;
    faults.error(['portLevelMtls', port], 'range', message, 'key');
  }
  if (selects && context.namespace === context.rootNamespace) {
    const message =
      'with a selector the policy is for workloads of this namespace only, not of the mesh; is that meant?';
    faults.warning(['selector'], 'selector', message, 'key');
  }
};
