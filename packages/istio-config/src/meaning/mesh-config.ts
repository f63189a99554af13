// Meaning of MeshConfig.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import type { MeshConfig } from '../kinds/mesh-config.js';
import { checkUnique, present } from './rule.js';

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;

/** Providers that are there without being declared. */
const BUILT_IN: ReadonlySet<string> = new Set(['prometheus', 'envoy']);

/** Checks names and references. */
export function checkMeshConfig(config: Loose<MeshConfig>, faults: FaultList): void {
  if (config.trustDomain !== undefined && !TRUST_DOMAIN.test(config.trustDomain)) {
    const message = `\`${config.trustDomain}\` is not a trust domain; write lower-case letters, digits, \`.\`, \`-\` and \`_\``;
    faults.error(['trustDomain'], 'name', message);
  }
  checkUnique(
    config.extensionProviders,
    ({ name }) => name,
    faults,
    (index, name) => ({
      path: ['extensionProviders', index, 'name'],
      message: `provider \`${name}\` is there twice; give each its own name`,
    }),
  );
  const names = new Set([...BUILT_IN, ...[...present(config.extensionProviders)].map(([, { name }]) => name)]);
  for (const field of ['metrics', 'accessLogging'] as const) {
    for (const [index, name] of present(config.defaultProviders?.[field])) {
      if (names.has(name)) continue;
      const message = `there is no provider \`${name}\`; declare it in \`extensionProviders\`, or write prometheus or envoy`;
      faults.error(['defaultProviders', field, index], 'reference', message);
    }
  }
  if (
    config.accessLogEncoding === 'JSON' &&
    config.accessLogFormat !== undefined &&
    !isJsonObject(config.accessLogFormat)
  ) {
    const message = 'with accessLogEncoding JSON the format is a JSON object as text; write one, or remove it';
    faults.error(['accessLogFormat'], 'format', message);
  }
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    // Text that is not JSON is not an object either.
    return false;
  }
}
