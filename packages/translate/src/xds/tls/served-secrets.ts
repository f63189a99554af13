// Build: the secrets that a proxy is served: those that a gateway's servers and the DestinationRules for its calls name, and no others.

import { create } from '@bufbuild/protobuf';
import type { Subset, TrafficPolicy } from '@lateen/istio-config';
import { type DataSource, DataSourceSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import {
  CertificateValidationContextSchema,
  TlsCertificateSchema,
} from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/common_pb.js';
import { type Secret, SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { oncePerSnapshot } from '../../once-per-snapshot.js';
import type { ProxyView } from '../../proxy-view.js';
import { credentialsUnder } from '../../resolve/credentials.js';
import { configsOf } from '../../snapshot.js';
import { stableHash } from '../../stable-hash.js';
import type { ResourcePart, ResourceRecipe } from '../recipe.js';
import { clientCredentials, originatesTls } from './client-tls-context.js';
import { credentialSecretName } from './secret-references.js';

function inline(pem: string): DataSource {
  return create(DataSourceSchema, { specifier: { case: 'inlineBytes', value: new TextEncoder().encode(pem) } });
}

function secretRecipe(name: string, type: Secret['type']): ResourceRecipe<Secret> {
  const resourceName = credentialSecretName(name);
  const message = create(SecretSchema, { name: resourceName, type });
  // The hash of the content, and not the content: keys are kept, and shown where something is debugged.
  return { name: resourceName, key: `${resourceName}/${stableHash(message)}`, build: () => message };
}

interface RulePolicies {
  readonly trafficPolicy?: TrafficPolicy | undefined;
  readonly subsets?: readonly Subset[] | undefined;
}

/** TLS of its own that a rule asks for, wherever it does. */
export function originatedTls({ trafficPolicy, subsets = [] }: RulePolicies) {
  return [trafficPolicy, ...subsets.map((subset) => subset.trafficPolicy)]
    .flatMap((policy) => [policy?.tls, ...(policy?.portLevelSettings ?? []).map(({ tls }) => tls)])
    .filter(originatesTls);
}

/** The credentials that servers and the rules for calls name: of certificates, and of the roots that peers are checked with. */
function credentialNames({ gatewayListeners, scope, credentials }: ProxyView) {
  const terminated = gatewayListeners.flatMap(({ servers }) => servers.flatMap(({ tls }) => tls ?? []));
  const originated = scope.destinations.flatMap((service) => {
    const rule = scope.destinationRule(service);
    if (credentialsUnder(credentials, rule) !== credentials) return [];
    return rule === undefined ? [] : originatedTls(rule).map(clientCredentials);
  });
  const given = (names: readonly (string | undefined)[]) => names.filter((name) => name !== undefined);
  return {
    certificates: given([
      ...terminated.flatMap(({ credentials }) => credentials),
      ...originated.map(({ certificate }) => certificate),
    ]),
    roots: given([
      ...terminated.map(({ rootsCredential }) => rootsCredential),
      ...originated.map(({ roots }) => roots),
    ]),
  };
}

function listSecrets(view: ProxyView): ResourceRecipe<Secret>[] {
  const { certificates, roots } = credentialNames(view);
  const recipes = new Map<string, ResourceRecipe<Secret>>();
  for (const name of certificates) {
    const found = view.credentials.certificate(name);
    if (!('value' in found)) continue;
    const { chainPem, keyPem } = found.value;
    const value = create(TlsCertificateSchema, { certificateChain: inline(chainPem), privateKey: inline(keyPem) });
    recipes.set(name, secretRecipe(name, { case: 'tlsCertificate', value }));
  }
  for (const name of roots) {
    const found = view.credentials.roots(name);
    if (!('value' in found)) continue;
    const { rootsPem, crlPem } = found.value;
    const value = create(CertificateValidationContextSchema, {
      trustedCa: inline(rootsPem),
      ...(crlPem === undefined ? {} : { crl: inline(crlPem) }),
    });
    recipes.set(name, secretRecipe(name, { case: 'validationContext', value }));
  }
  return [...recipes.values()];
}

const NO_SECRETS: ResourcePart<Secret> = { key: 'no-secrets', list: () => ({ recipes: [], problems: [] }) };

/** Namespaces with rules that select workloads and name Secrets: the sidecars of all others have none. */
const selectingNamespaces = oncePerSnapshot((snapshot) => {
  const naming = configsOf(snapshot, 'DestinationRule').filter(
    ({ spec }) =>
      spec.workloadSelector !== undefined && originatedTls(spec).some(({ credentialName }) => credentialName),
  );
  return new Set(naming.map(({ metadata }) => metadata.namespace));
});

/** The secrets of a view. */
export function secretPart(view: ProxyView): ResourcePart<Secret> {
  if (view.type !== 'router' && !selectingNamespaces(view.snapshot).has(view.namespace)) return NO_SECRETS;
  const names = credentialNames(view);
  if (names.certificates.length + names.roots.length === 0) {
    return NO_SECRETS;
  }
  const { credentials } = view.snapshot.hashes;
  return {
    key: `secrets/${stableHash([names, view.credentials.key])}/${credentials}`,
    list: () => ({ recipes: listSecrets(view), problems: [] }),
  };
}
