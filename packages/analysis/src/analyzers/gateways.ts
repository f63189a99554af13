// Analyzers: Gateways: their pods, ports, certificates, and who else has the same hosts.

import { type ConfigObject, fullGatewayName, hostsOverlap, splitNamespacedHost } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import { hasLabels, type MeshModel } from '../model/mesh-model.js';
import type { RawServiceSpec } from '../model/raw-object.js';

type Gateway = ConfigObject<'Gateway'>;

export function analyzeGateways(model: MeshModel, report: Report): void {
  const gateways = model.of('Gateway');
  for (const gateway of gateways) {
    checkWorkloads(model, gateway, report);
    checkCredentials(model, gateway, report);
    checkRoutes(model, gateway, report);
  }
  checkConflicts(gateways, report);
  checkSharedCertificates(gateways, report);
}

function checkWorkloads(model: MeshModel, gateway: Gateway, report: Report): void {
  const selector = gateway.spec.selector ?? {};
  const said = Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
  // The profiles' own gateway is there wherever Lateen is installed.
  if (
    selector.istio === 'ingressgateway' &&
    Object.keys(selector).length === 1 &&
    !model.workloads.some(({ labels }) => labels.istio !== undefined)
  )
    return;
  if (!model.knowsWorkloads) return;
  const workloads = model.workloads.filter(({ labels }) => hasLabels(labels, selector));
  if (workloads.length === 0) {
    report(
      'IST0101',
      gateway,
      ['spec', 'selector'],
      `no pod has the labels ${said}, so that nothing listens; correct the selector, or deploy the gateway`,
    );
    return;
  }
  const services = model.rawOfKind('Service').filter(({ metadata, spec }) => {
    const wanted = (spec as RawServiceSpec | undefined)?.selector;
    return (
      wanted !== undefined &&
      workloads.some(({ namespace, labels }) => namespace === metadata.namespace && hasLabels(labels, wanted))
    );
  });
  const ports = new Set(
    services.flatMap(({ spec }) =>
      ((spec as RawServiceSpec).ports ?? []).flatMap(({ port, targetPort }) => [port, targetPort]),
    ),
  );
  if (services.length === 0) return;
  for (const [index, { port }] of (gateway.spec.servers ?? []).entries()) {
    if (port?.number === undefined || ports.has(port.number)) continue;
    report(
      'IST0162',
      gateway,
      ['spec', 'servers', index, 'port', 'number'],
      `no Service of the pods ${said} has the port ${port.number}, so that nobody reaches it from outside; add it to ${services.map(({ metadata }) => metadata.name).join(', ')}`,
    );
  }
}

interface SecretObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly stringData?: Readonly<Record<string, string>>;
}

function checkCredentials(model: MeshModel, gateway: Gateway, report: Report): void {
  const selector = gateway.spec.selector ?? {};
  const secrets = model.rawOfKind('Secret');
  const pods = model.workloads.filter(({ labels }) => hasLabels(labels, selector));
  // Secrets are read where the gateway's pods run.
  const namespaces = new Set(
    pods.length === 0 ? [model.rootNamespace, gateway.metadata.namespace] : pods.map(({ namespace }) => namespace),
  );
  for (const [index, { tls }] of (gateway.spec.servers ?? []).entries()) {
    const name = tls?.credentialName;
    if (name === undefined || name.includes('://') || secrets.length === 0) continue;
    const path = ['spec', 'servers', index, 'tls', 'credentialName'];
    const found = secrets.find(
      ({ metadata }) => metadata.name === name && namespaces.has(metadata.namespace ?? 'default'),
    );
    if (found === undefined) {
      const elsewhere = secrets.find(({ metadata }) => metadata.name === name)?.metadata.namespace;
      const advice =
        elsewhere === undefined
          ? 'create it'
          : `it is in ${elsewhere}: Secrets are read in the namespace of the gateway's pods`;
      report('IST0101', gateway, path, `there is no Secret ${name} in ${[...namespaces].join(', ')}; ${advice}`);
      continue;
    }
    const { data, stringData } = found as SecretObject;
    const keys = Object.keys({ ...data, ...stringData });
    const missing = [
      ['tls.crt', 'cert'],
      ['tls.key', 'key'],
    ].filter((names) => !names.some((each) => keys.includes(each)));
    if (missing.length > 0) {
      report(
        'IST0161',
        gateway,
        path,
        `the Secret ${found.metadata.namespace}/${name} has no ${missing.map(([each]) => each).join(', no ')}: TLS fails for ${gateway.spec.servers?.[index]?.hosts?.join(', ')}; make it by kubectl create secret tls`,
      );
    }
  }
}

/** Servers for which no VirtualService says anything: each request is answered 404. */
function checkRoutes(model: MeshModel, gateway: Gateway, report: Report): void {
  const name = `${gateway.metadata.namespace}/${gateway.metadata.name}`;
  const attached = model
    .of('VirtualService')
    .filter(({ spec, metadata }) =>
      (spec.gateways ?? []).some((each) => fullGatewayName(each, metadata.namespace) === name),
    );
  if (model.of('VirtualService').length === 0 || !model.knowsServices) return;
  for (const [index, { hosts = [], tls, port }] of (gateway.spec.servers ?? []).entries()) {
    if (tls?.httpsRedirect === true || (port?.protocol ?? '').toUpperCase() === 'TCP') continue;
    const wanted = hosts.map((each) => splitNamespacedHost(each).host);
    const has = attached.some(({ spec }) =>
      (spec.hosts ?? []).some((host) => wanted.some((each) => hostsOverlap(each, host))),
    );
    if (!has)
      report(
        'LAT0012',
        gateway,
        ['spec', 'servers', index],
        `no VirtualService of the gateway ${name} is for ${wanted.join(', ')}: every request is answered 404; add one`,
      );
  }
}

/** Two Gateways with the same selector, port and hosts. */
function checkConflicts(gateways: readonly Gateway[], report: Report): void {
  for (const gateway of gateways) {
    for (const [index, server] of (gateway.spec.servers ?? []).entries()) {
      const others = gateways.filter(
        (other) =>
          other !== gateway &&
          JSON.stringify(Object.entries(other.spec.selector ?? {}).sort()) ===
            JSON.stringify(Object.entries(gateway.spec.selector ?? {}).sort()) &&
          (other.spec.servers ?? []).some(
            (each) =>
              each.port?.number === server.port?.number &&
              (each.hosts ?? []).some((host) =>
                (server.hosts ?? []).some((own) => splitNamespacedHost(own).host === splitNamespacedHost(host).host),
              ),
          ),
      );
      if (others.length === 0) continue;
      const names = others.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(', ');
      report(
        'IST0145',
        gateway,
        ['spec', 'servers', index],
        `${names} has a server of the same pods for port ${server.port?.number} and ${server.hosts?.join(', ')}; join them, or take different hosts`,
      );
    }
  }
}

/** Clients that reuse a connection for another host of the same certificate are answered 404 by the first Gateway. */
function checkSharedCertificates(gateways: readonly Gateway[], report: Report): void {
  const byCertificate = new Map<string, Gateway[]>();
  for (const gateway of gateways) {
    const names = new Set((gateway.spec.servers ?? []).flatMap(({ tls }) => tls?.credentialName ?? []));
    for (const name of names) {
      const key = `${name} ${JSON.stringify(Object.entries(gateway.spec.selector ?? {}).sort())}`;
      byCertificate.set(key, [...(byCertificate.get(key) ?? []), gateway]);
    }
  }
  for (const [key, shared] of byCertificate) {
    if (shared.length < 2) continue;
    const names = shared.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).join(', ');
    for (const gateway of shared) {
      report(
        'IST0138',
        gateway,
        ['spec', 'servers'],
        `${names} have the certificate ${key.split(' ')[0]}: clients of HTTP/2 reuse a connection for hosts of both, and get 404; join the Gateways, or take certificates of their own`,
      );
    }
  }
}
