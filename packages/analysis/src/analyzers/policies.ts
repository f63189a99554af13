// Analyzers: policies: AuthorizationPolicies, RequestAuthentications and Telemetries: what they refer to, and what they do not do.

import type { ConfigObject, MeshConfig } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import type { MeshModel } from '../model/mesh-model.js';

/** @param mesh undefined where nothing is known of it */
export function analyzePolicies(model: MeshModel, mesh: MeshConfig | undefined, report: Report): void {
  for (const policy of model.of('AuthorizationPolicy')) {
    checkNamespaces(model, policy, report);
    checkPrincipals(model, policy, report);
    checkEmptyAllow(policy, report);
    checkProvider(policy, mesh, report);
    checkHttpFields(model, policy, report);
  }
  for (const authentication of model.of('RequestAuthentication')) checkRequired(model, authentication, report);
  for (const telemetry of model.of('Telemetry')) checkProviders(telemetry, mesh, report);
}

type AuthorizationPolicy = ConfigObject<'AuthorizationPolicy'>;

function checkNamespaces(model: MeshModel, policy: AuthorizationPolicy, report: Report): void {
  if (model.namespaces.size === 0) return;
  for (const [rule, { from = [] }] of (policy.spec.rules ?? []).entries()) {
    for (const [index, { source }] of from.entries()) {
      for (const field of ['namespaces', 'notNamespaces'] as const) {
        for (const [at, name] of (source?.[field] ?? []).entries()) {
          if (name.includes('*') || model.namespaces.has(name) || name === model.rootNamespace) continue;
          report(
            'IST0101',
            policy,
            ['spec', 'rules', rule, 'from', index, 'source', field, at],
            `there is no namespace ${name}; correct the name`,
          );
        }
      }
    }
  }
}

/** Principals of service accounts that no workload has: the rule never matches. */
function checkPrincipals(model: MeshModel, policy: AuthorizationPolicy, report: Report): void {
  if (!model.knowsWorkloads) return;
  const accounts = new Set([
    ...model.workloads.map(({ namespace, serviceAccount }) => `${namespace}/${serviceAccount}`),
    ...model.rawOfKind('ServiceAccount').map(({ metadata }) => `${metadata.namespace ?? 'default'}/${metadata.name}`),
  ]);
  for (const [rule, { from = [] }] of (policy.spec.rules ?? []).entries()) {
    for (const [index, { source }] of from.entries()) {
      for (const [at, principal] of (source?.principals ?? []).entries()) {
        const [, namespace, account] = /^[^/*]+\/ns\/([^/*]+)\/sa\/([^/*]+)$/.exec(principal) ?? [];
        if (namespace === undefined || accounts.has(`${namespace}/${account}`) || account === 'istio-ingressgateway')
          continue;
        report(
          'LAT0015',
          policy,
          ['spec', 'rules', rule, 'from', index, 'source', 'principals', at],
          `no workload has the service account ${namespace}/${account}, so that nobody is ${principal}; correct the name`,
        );
      }
    }
  }
}

function checkEmptyAllow(policy: AuthorizationPolicy, report: Report): void {
  const { action = 'ALLOW', rules = [] } = policy.spec;
  if (action !== 'ALLOW' || rules.length > 0) return;
  report(
    'LAT0005',
    policy,
    ['spec'],
    'it has no rules, and so allows nothing: every request to what it selects is refused, unless another policy allows it',
  );
}

function checkProvider(policy: AuthorizationPolicy, mesh: MeshConfig | undefined, report: Report): void {
  const name = policy.spec.provider?.name;
  if (name === undefined || mesh === undefined) return;
  const known = (mesh.extensionProviders ?? []).map((provider) => provider.name ?? '');
  if (known.includes(name)) return;
  report(
    'IST0101',
    policy,
    ['spec', 'provider', 'name'],
    `no extensionProvider of MeshConfig is called ${name} (there are: ${known.join(', ') || 'none'}): every request that the policy matches is refused`,
  );
}

/** Rules by what only HTTP has, for workloads whose ports speak none: they never match, or an ALLOW refuses all. */
function checkHttpFields(model: MeshModel, policy: AuthorizationPolicy, report: Report): void {
  const workloads = model.workloadsSelected(policy.metadata.namespace, policy.spec.selector?.matchLabels);
  const services = model.hosts.filter((host) =>
    model.workloadsOf(host).some((workload) => workloads.includes(workload)),
  );
  const ports = services.flatMap((service) => service.ports);
  if (ports.length === 0 || Object.keys(policy.spec.selector?.matchLabels ?? {}).length === 0) return;
  if (ports.some(({ protocol }) => ['http', 'http2', 'grpc', 'grpc-web', 'auto', 'unknown'].includes(protocol))) return;
  for (const [rule, { to = [] }] of (policy.spec.rules ?? []).entries()) {
    for (const [index, { operation }] of to.entries()) {
      const field = (['methods', 'paths', 'hosts', 'notMethods', 'notPaths', 'notHosts'] as const).find(
        (each) => (operation?.[each] ?? []).length > 0,
      );
      if (field === undefined) continue;
      report(
        'LAT0006',
        policy,
        ['spec', 'rules', rule, 'to', index, 'operation', field],
        `${field} goes by HTTP, and no port of ${services.map(({ host }) => host.split('.')[0]).join(', ')} speaks it: the rule never matches; go by ports, or name the port http-…`,
      );
    }
  }
}

/** Tokens are checked where there is one; only an AuthorizationPolicy makes them needed. */
function checkRequired(model: MeshModel, authentication: ConfigObject<'RequestAuthentication'>, report: Report): void {
  if ((authentication.spec.jwtRules ?? []).length === 0) return;
  const { namespace } = authentication.metadata;
  const demanded = model
    .of('AuthorizationPolicy')
    .some(
      ({ spec, metadata }) =>
        [namespace, model.rootNamespace].includes(metadata.namespace) &&
        (spec.rules ?? []).some(
          ({ from = [], when = [] }) =>
            from.some(({ source }) => (source?.requestPrincipals ?? source?.notRequestPrincipals ?? []).length > 0) ||
            when.some(({ key = '' }) => key.startsWith('request.auth.')),
        ),
    );
  if (demanded) return;
  report(
    'LAT0004',
    authentication,
    ['spec', 'jwtRules'],
    'a request without a token passes all the same: to demand one, add an AuthorizationPolicy with requestPrincipals',
  );
}

const BUILT_IN_PROVIDERS = new Set(['prometheus', 'envoy', 'envoy-json', 'stackdriver']);

function checkProviders(telemetry: ConfigObject<'Telemetry'>, mesh: MeshConfig | undefined, report: Report): void {
  for (const section of ['accessLogging', 'metrics', 'tracing'] as const) {
    for (const [index, each] of (telemetry.spec[section] ?? []).entries()) {
      const { providers } = each as { providers?: readonly { name?: string }[] };
      const path = ['spec', section, index];
      if (providers !== undefined && providers.length === 0) {
        report(
          'IST0157',
          telemetry,
          [...path, 'providers'],
          'an empty list of providers has no effect; leave it out, or name one',
        );
      }
      for (const [at, { name = '' }] of (providers ?? []).entries()) {
        const known = (mesh?.extensionProviders ?? []).map((provider) => provider.name ?? '');
        if (mesh === undefined || known.includes(name) || BUILT_IN_PROVIDERS.has(name)) continue;
        report(
          'IST0101',
          telemetry,
          [...path, 'providers', at],
          `no extensionProvider of MeshConfig is called ${name} (there are: ${[...known, ...BUILT_IN_PROVIDERS].join(', ')}); correct the name`,
        );
      }
    }
  }
}
