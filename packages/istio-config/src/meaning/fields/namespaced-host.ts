// Meaning of hosts as Gateway and Sidecar write them: HOST or NAMESPACE/HOST.
import type { FaultList } from '../../declare/fault.js';
import { isDnsLabel, isIpAddress, wildcardNameFault } from '../../declare/formats.js';
import { splitNamespacedHost } from '../../host.js';
import type { FieldPath } from '../../problem.js';

/** A host of a Gateway's server: a full name, a wildcard or an address; the namespace may be left out. */
export function checkServerHost(text: string, path: FieldPath, faults: FaultList): void {
  const { namespace, host } = splitNamespacedHost(text);
  if (namespace !== undefined && namespace !== '*' && namespace !== '.' && !isDnsLabel(namespace)) {
    const message = `\`${namespace}\` is not a namespace; write a name, \`.\` for this namespace or \`*\` for all`;
    faults.error(path, 'host', message);
  }
  if (isIpAddress(host)) return;
  const wrong = wildcardNameFault(host) ?? partialWildcardFault(host) ?? shortNameFault(host);
  if (wrong) faults.error(path, 'host', `host \`${host}\` ${wrong}; write a full DNS name, a wildcard or \`*\``);
}

/** A host of a Sidecar's egress: NAMESPACE/HOST. A short name is the service of that name (Lateen's reading). */
export function checkEgressHost(text: string, path: FieldPath, faults: FaultList): void {
  const { namespace, host } = splitNamespacedHost(text);
  if (namespace === undefined) {
    const message = `\`${text}\` has no namespace; write NAMESPACE/HOST, such as ./${text} or */${text}`;
    faults.error(path, 'host', message);
    return;
  }
  if (!['*', '.', '~'].includes(namespace) && !isDnsLabel(namespace)) {
    const message = `\`${namespace}\` is not a namespace; write a name, \`.\`, \`*\`, or \`~\` for none`;
    faults.error(path, 'host', message);
  }
  const wrong = isIpAddress(host) ? 'is an address' : (wildcardNameFault(host) ?? partialWildcardFault(host));
  if (wrong) faults.error(path, 'host', `host \`${host}\` ${wrong}; write the name of a service, a wildcard or \`*\``);
}

/** A `*` that stands for a part of a label. */
export function partialWildcardFault(host: string): string | undefined {
  const isPartial = host.startsWith('*') && host !== '*' && !host.startsWith('*.');
  return isPartial ? 'has a `*` in place of a part of a name' : undefined;
}

function shortNameFault(host: string): string | undefined {
  return host === '*' || host.includes('.') ? undefined : 'is a short name';
}
