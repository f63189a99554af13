// Describe: a pod or a service in words, with the file and line of everything that decides something.

import type {
  DestinationRuleDescription,
  ExposureDescription,
  PodDescription,
  PortMtls,
  ServiceDescription,
  SourceRef,
  VirtualServiceDescription,
  Warning,
} from '@lateen/telemetry';

/** `KIND NAMESPACE/NAME (FILE:LINE)` */
function sourceText({ kind, namespace, name, file, line }: SourceRef): string {
  return `${kind} ${namespace}/${name}${file === '' ? '' : ` (${line > 0 ? `${file}:${line}` : file})`}`;
}

/** @param paint how a warning is coloured */
export function describePodText(pod: PodDescription, paint: (text: string) => string): string {
  const lines = [
    `Pod: ${pod.name}.${pod.namespace}`,
    `   Workload: ${pod.workload}, service account ${pod.serviceAccount}, address ${pod.address}`,
    `   State: ${pod.ready ? 'ready' : 'not ready'}${pod.gateway ? ', a gateway' : ''}`,
    `   Labels: ${labelText(pod.labels)}`,
    ...(pod.ports.length === 0 ? [] : [`   Ports: ${pod.ports.map(portText).join(', ')}`]),
    ...pod.mtls.map((mtls) => `   ${mtlsText(mtls)}`),
    ...pod.gateways.map((gateway) => `   Runs ${sourceText(gateway)}`),
    ...scopeLines(pod),
    ...pod.clientRules.map(
      ({ host, source }) => `   Calls ${host} by ${sourceText(source)}, which other pods do not follow`,
    ),
    ...pod.warnings.flatMap((warning) => warningLines(warning, '   ', paint)),
  ];
  for (const service of pod.services) lines.push('', describeServiceText(service, paint));
  return lines.join('\n');
}

function scopeLines({ scope, gateway }: PodDescription): string[] {
  const { sidecar, services, exported } = scope;
  if (gateway) return [];
  const seen =
    sidecar === undefined
      ? [`   May call: all ${exported} services that are exported to it; no Sidecar narrows that`]
      : [
          `   May call: ${services.length} of ${exported} services, by ${sourceText(sidecar)}`,
          ...services.map((host) => `      ${host}`),
        ];
  return [...seen, `   Unknown hosts: ${unknownHostsText(scope)}`];
}

function unknownHostsText({ outboundTrafficPolicy, unknownHosts }: PodDescription['scope']): string {
  const what = unknownHosts === 'PASSED_THROUGH' ? 'passed through' : 'answered 502';
  return `${what} (${outboundTrafficPolicy})`;
}

export function describeServiceText(service: ServiceDescription, paint: (text: string) => string): string {
  const { destinationRule: rule, virtualService } = service;
  const ready = service.pods.filter((pod) => pod.ready).length;
  const lines = [
    `Service: ${service.name}.${service.namespace}`,
    ...service.ports.map(
      ({ port, name, targetPort, protocol }) =>
        `   Port: ${portText({ port, name })}, ${protocol === 'auto' ? 'no protocol said' : protocol}, to ${targetPort} of its pods`,
    ),
    `   Pods: ${service.pods.length === 0 ? 'none' : `${ready} of ${service.pods.length} ready`}`,
    ...service.pods.map(({ name, ready: isReady }) => `      ${name}${isReady ? '' : ' (not ready)'}`),
    ...service.mtls.map((mtls) => `   ${mtlsText(mtls)}`),
  ];
  if (rule !== undefined) {
    lines.push(`   ${sourceText(rule.source)}`, ...callLines(rule));
  }
  for (const each of service.clientRules) {
    lines.push(`   ${sourceText(each.source)}, only for calls of ${each.clients.join(', ')}`, ...callLines(each));
  }
  if (virtualService !== undefined) lines.push(...ruleLines(virtualService));
  lines.push(...service.exposure.flatMap(exposureLines));
  lines.push(...service.warnings.flatMap((warning) => warningLines(warning, '   ', paint)));
  return lines.join('\n');
}

function callLines({ tls, subsets }: DestinationRuleDescription): string[] {
  return [
    `      TLS of calls: ${tls === 'AUTO' ? 'mutual where the pod takes it' : tls}`,
    ...subsets.map(
      ({ name, labels, pods }) => `      Subset ${name} (${labelText(labels)}): ${pods.join(', ') || 'no pods'}`,
    ),
  ];
}

function ruleLines({ source, routes }: VirtualServiceDescription): string[] {
  return [`   ${sourceText(source)}`, ...routes.map(({ match, to }) => `      ${match} -> ${to}`)];
}

function exposureLines({ gateway, server, hosts, virtualService, pods }: ExposureDescription): string[] {
  return [
    `   From outside: ${server}, host ${hosts.join(', ')}`,
    `      ${sourceText(gateway)}, run by ${pods.join(', ') || 'no pod'}`,
    `      ${sourceText(virtualService)}`,
  ];
}

function mtlsText({ port, mode, policy }: PortMtls): string {
  const what = { STRICT: 'mutual TLS only', PERMISSIVE: 'mutual TLS and plain text', DISABLE: 'plain text only' };
  const why = policy === undefined ? 'the default: no PeerAuthentication says otherwise' : sourceText(policy);
  return `Accepts at ${port}: ${mode}, ${what[mode]}; ${why}`;
}

function warningLines({ code, message, source }: Warning, indent: string, paint: (text: string) => string): string[] {
  const lines = [`${indent}${paint('Warning:')} ${message} [${code}]`];
  if (source !== undefined) lines.push(`${indent}   ${sourceText(source)}`);
  return lines;
}

function portText({ port, name }: { readonly port: number; readonly name: string }): string {
  return name === '' ? String(port) : `${port} (${name})`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  return (
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(', ') || 'none'
  );
}
