// Meaning of ProxyConfig, and of what MeshConfig's `defaultConfig` has in common with it.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { ProxyConfigSpec } from '../../kinds/workloads/proxy-config.js';
import type { FieldPath } from '../../problem.js';
import { checkSelector, type MeaningRule, presentEntries } from '../rule.js';

const VARIABLE = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
/** They say which code a process runs, so whoever may configure proxies could run anything as one. */
const LOADERS = /^(NODE_|LD_|DYLD_|PATH$|GLIBC_TUNABLES$|OPENSSL_)/;

export const checkProxyConfig: MeaningRule<ProxyConfigSpec> = (spec, faults) => {
  checkSelector(spec.selector, ['selector'], faults);
  checkVariables(spec.environmentVariables, ['environmentVariables'], faults);
};

/** Names of variables, and those that change what program the proxy is. */
export function checkVariables(
  variables: Loose<Readonly<Record<string, string>>> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  for (const [name] of presentEntries(variables)) {
    if (!VARIABLE.test(name)) {
      faults.error(
        [...path, name],
        'format',
        `\`${name}\` is no name of a variable; write letters, digits and \`_\``,
        'key',
      );
    } else if (LOADERS.test(name)) {
      const message = `\`${name}\` changes what program the proxy is, so it cannot be set here; remove it`;
      faults.error([...path, name], 'unsupported', message, 'key');
    }
  }
}
