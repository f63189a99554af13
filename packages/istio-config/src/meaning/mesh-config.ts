// Meaning of MeshConfig.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { parseDurationMs } from '../duration.js';
import type { MeshConfig } from '../kinds/mesh-config.js';
import type { FieldPath } from '../problem.js';
import { checkAuthorizer, checkHttpAuthorizer } from './fields/authorizer.js';
import { checkLocalities } from './fields/locality.js';
import { checkCipherSuites } from './fields/server-tls.js';
import { checkRetryPolicy } from './http/retries.js';
import { checkUnique, present } from './rule.js';
import { checkVariables } from './workloads/proxy-config.js';

/** Labels of lower case (SPIFFE), the last of which may be empty (Istio). */
const TRUST_DOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/;

const HOUR_MS = 3_600_000;

/** Providers that are there without being declared. */
const BUILT_IN: ReadonlySet<string> = new Set(['prometheus', 'envoy']);

/** Checks names and references. */
export function checkMeshConfig(config: Loose<MeshConfig>, faults: FaultList): void {
  checkTrustDomain(config.trustDomain, ['trustDomain'], faults);
  for (const [index, alias] of present(config.trustDomainAliases)) {
    checkTrustDomain(alias, ['trustDomainAliases', index], faults);
  }
  checkTimes(config, faults);
  checkLocalities(config.localityLbSetting, ['localityLbSetting'], faults);
  checkVariables(config.defaultConfig?.proxyMetadata, ['defaultConfig', 'proxyMetadata'], faults);
  if (config.defaultHttpRetryPolicy) {
    checkRetryPolicy(config.defaultHttpRetryPolicy, ['defaultHttpRetryPolicy'], faults);
  }
  checkTls(config, faults);
  checkSelectors(config, faults);
  if (config.verifyCertificateAtClient === false) {
    const message =
      'servers are always verified; write true, and `insecureSkipVerify` in the DestinationRules whose servers cannot be';
    faults.error(['verifyCertificateAtClient'], 'unsupported', message);
  }
  for (const [index, provider] of present(config.extensionProviders)) {
    const path = ['extensionProviders', index];
    const { envoyExtAuthzHttp: http, envoyExtAuthzGrpc: grpc } = provider;
    if (http) checkHttpAuthorizer(http, [...path, 'envoyExtAuthzHttp'], faults);
    if (grpc) checkAuthorizer(grpc, [...path, 'envoyExtAuthzGrpc'], faults);
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

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/** As in Kubernetes: In and NotIn compare with values, the others with none. */
function checkSelectors({ discoverySelectors }: Loose<MeshConfig>, faults: FaultList): void {
  for (const [index, { matchExpressions }] of present(discoverySelectors)) {
    for (const [at, { operator, values }] of present(matchExpressions)) {
      const path = ['discoverySelectors', index, 'matchExpressions', at];
      if (operator !== undefined && !OPERATORS.includes(operator)) {
        const message = `\`${operator}\` is not an operator; write one of ${OPERATORS.join(', ')}`;
        faults.error([...path, 'operator'], 'enum', message);
        continue;
      }
      const compares = operator === 'In' || operator === 'NotIn';
      const given = (values?.length ?? 0) > 0;
      if (compares && !given) faults.error(path, 'required', `\`values\` is required with ${operator}; add some`);
      if (operator !== undefined && !compares && given) {
        faults.error([...path, 'values'], 'one-of', `\`values\` has no place with ${operator}; remove it`, 'key');
      }
    }
  }
}

const CURVES = ['P-256', 'P-384', 'P-521', 'X25519'];

/** As Istio: the curves of mutual TLS in the mesh are not chosen. */
function checkTls({ meshMTLS, tlsDefaults }: Loose<MeshConfig>, faults: FaultList): void {
  if (meshMTLS && 'ecdhCurves' in meshMTLS) {
    const message = '`ecdhCurves` has no place in `meshMTLS`; remove it, or write it in `tlsDefaults`';
    faults.error(['meshMTLS', 'ecdhCurves'], 'one-of', message, 'key');
  }
  if (meshMTLS) checkCipherSuites(meshMTLS, ['meshMTLS'], faults);
  if (tlsDefaults) checkCipherSuites(tlsDefaults, ['tlsDefaults'], faults);
  const seen = new Set<string>();
  for (const [index, curve] of present(tlsDefaults?.ecdhCurves)) {
    const path = ['tlsDefaults', 'ecdhCurves', index];
    if (!CURVES.includes(curve)) {
      const message = `\`${curve}\` is not a curve that is supported; write one of ${CURVES.join(', ')}`;
      faults.error(path, 'unsupported', message);
    } else if (seen.has(curve)) faults.warning(path, 'duplicate', `curve \`${curve}\` is there twice; keep one`);
    seen.add(curve);
  }
}

function checkTrustDomain(name: string | undefined, path: FieldPath, faults: FaultList): void {
  if (name === undefined || (name.length <= 255 && TRUST_DOMAIN.test(name))) return;
  const message = `\`${name}\` is not a trust domain; write a name of lower-case letters, digits and \`-\`, with dots`;
  faults.error(path, 'name', message);
}

function checkTimes({ connectTimeout, defaultConfig }: Loose<MeshConfig>, faults: FaultList): void {
  if (connectTimeout !== undefined && (parseDurationMs(connectTimeout) ?? 0) > HOUR_MS) {
    faults.error(['connectTimeout'], 'range', `\`${connectTimeout}\` is too long; write 1h or less`);
  }
  const drain = defaultConfig?.drainDuration;
  if (drain === undefined || (parseDurationMs(drain) ?? 0) % 1000 === 0) return;
  const message = `\`${drain}\` is not a number of whole seconds; round it`;
  faults.error(['defaultConfig', 'drainDuration'], 'range', message);
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
