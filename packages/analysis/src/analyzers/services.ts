// Analyzers: Services and ServiceEntries: names of ports, workloads that they share, addresses that are missing.

import { protocolFromPortName } from '@lateen/istio-config';
import type { Report } from '../finding.js';
import { isInjected } from '../model/injected.js';
import { hasLabels, type MeshModel, type Workload } from '../model/mesh-model.js';
import type { RawObject, RawServicePort, RawServiceSpec } from '../model/raw-object.js';

const CLUSTER_NAMESPACES = new Set(['kube-system', 'kube-public', 'kube-node-lease']);

export function analyzeServices(model: MeshModel, report: Report): void {
  const services = model
    .rawOfKind('Service')
    .filter(({ metadata }) => !CLUSTER_NAMESPACES.has(metadata.namespace ?? 'default'));
  for (const service of services) {
    checkPortNames(model, service, report);
    checkSelection(model, service, report);
  }
  for (const workload of model.workloads) checkShared(workload, services, report);
  for (const entry of model.of('ServiceEntry')) {
    const { addresses = [], ports = [], resolution = 'NONE', hosts = [] } = entry.spec;
    const bare = ports.findIndex(({ protocol }) => ['', 'TCP'].includes((protocol ?? '').toUpperCase()));
    // Of a service that is found by its server name or its Host nothing has to be addressed.
    if (bare < 0 || addresses.length > 0 || resolution === 'DYNAMIC_DNS') continue;
    report(
      'IST0134',
      entry,
      ['spec', 'ports', bare],
      `TCP to ${hosts.join(', ')} can be told by its address only: give addresses, or let the proxy answer DNS (ISTIO_META_DNS_CAPTURE), which gives it some`,
    );
  }
}

const specOf = (service: RawObject) => (service.spec ?? {}) as RawServiceSpec;

function checkPortNames(model: MeshModel, service: RawObject, report: Report): void {
  const { ports = [], type, selector = {} } = specOf(service);
  const inMesh = model.workloads.filter(
    ({ namespace, labels }) => namespace === (service.metadata.namespace ?? 'default') && hasLabels(labels, selector),
  );
  for (const [index, port] of ports.entries()) {
    const path = ['spec', 'ports', index];
    if (type === 'ExternalName' && isPlainTcp(port)) {
      report(
        'IST0150',
        service,
        path,
        `the port ${port.port} of an ExternalName service is TCP: its address is not known, so that it catches calls of others; name it by its protocol (http-…, tls-…)`,
      );
      continue;
    }
    if (type === 'ExternalName' || port.appProtocol !== undefined || port.protocol === 'UDP') continue;
    if (inMesh.length > 0 && inMesh.every((workload) => !isInjected(model, workload)) && model.knowsInjection) continue;
    if (port.name !== undefined && port.name !== '' && protocolFromPortName(port.name) === undefined) {
      report(
        'IST0118',
        service,
        [...path, 'name'],
        `${port.name} says no protocol, so that it is detected from the first bytes; name it http-${port.name} (or tcp-, grpc-…), or set appProtocol`,
      );
    }
  }
}

function isPlainTcp({ name = '', appProtocol, protocol }: RawServicePort): boolean {
  const said = appProtocol ?? name;
  return protocol !== 'UDP' && ((protocolFromPortName(said) ?? 'tcp') === 'tcp' || said === '');
}

function checkSelection(model: MeshModel, service: RawObject, report: Report): void {
  const { selector = {} } = specOf(service);
  if (!model.knowsWorkloads || Object.keys(selector).length === 0) return;
  const namespace = service.metadata.namespace ?? 'default';
  if (model.workloads.some((workload) => workload.namespace === namespace && hasLabels(workload.labels, selector)))
    return;
  const said = Object.entries(selector)
    .map(([key, value]) => `${key}=${value}`)
    .join(', ');
  report(
    'LAT0009',
    service,
    ['spec', 'selector'],
    `no pod of ${namespace} has the labels ${said}: calls are answered 503; correct the selector, or deploy it`,
  );
}

/** Several Services of one workload that say different things of the same port. */
function checkShared(workload: Workload, services: readonly RawObject[], report: Report): void {
  const own = services.filter(
    (service) =>
      (service.metadata.namespace ?? 'default') === workload.namespace &&
      Object.keys(specOf(service).selector ?? {}).length > 0 &&
      hasLabels(workload.labels, specOf(service).selector),
  );
  const byTarget = new Map<string, { readonly service: string; readonly port: number; readonly protocol: string }[]>();
  for (const service of own) {
    for (const { name, port, targetPort, appProtocol } of specOf(service).ports ?? []) {
      const key = String(targetPort ?? port);
      const protocol = protocolFromPortName(appProtocol ?? name ?? '') ?? '';
      byTarget.set(key, [...(byTarget.get(key) ?? []), { service: service.metadata.name, port, protocol }]);
    }
  }
  for (const [target, uses] of byTarget) {
    const names = uses.map(({ service }) => service).join(', ');
    const protocols = new Set(uses.map(({ protocol }) => protocol));
    const ports = new Set(uses.map(({ port }) => port));
    if (protocols.size > 1) {
      const said = uses.map(({ service, protocol }) => `${service}: ${protocol || 'none'}`).join(', ');
      report(
        'IST0116',
        workload.object,
        [],
        `its port ${target} has different protocols in the Services ${said}; a port has one: let them say the same`,
      );
    } else if (ports.size > 1 && new Set(uses.map(({ service }) => service)).size > 1) {
      report(
        'IST0137',
        workload.object,
        [],
        `its port ${target} is ${[...ports].join(' and ')} in the Services ${names}; let both have the same port`,
      );
    }
  }
}
