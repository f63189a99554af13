// Meaning of Sidecar.
import type { Loose } from '../declare/check.js';
import type { FaultList } from '../declare/fault.js';
import { isDnsLabel, isIpAddress } from '../declare/formats.js';
import { splitNamespacedHost } from '../host.js';
import type { SidecarSpec } from '../kinds/sidecar.js';
import type { FieldPath } from '../problem.js';
import { checkProtocol, checkSelector, checkUnique, hostOrAddressFault, type MeaningRule, present } from './rule.js';
import { checkServerTls } from './server-tls.js';

export const checkSidecar: MeaningRule<SidecarSpec> = (spec, faults, { namespace, rootNamespace }) => {
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  if (spec.workloadSelector && namespace === rootNamespace) {
    const message =
      'a Sidecar of the root namespace is for the whole mesh; remove the selector, or use another namespace';
    faults.warning(['workloadSelector'], 'selector', message, 'key');
  }
  if (Object.keys(spec).every((field) => field === 'workloadSelector')) {
    faults.error([], 'required', 'the Sidecar has no settings; add `egress`, `ingress` or `outboundTrafficPolicy`');
  }
  checkIngress(spec, faults);
  checkEgress(spec, faults);
};

function checkIngress({ ingress, workloadSelector }: Loose<SidecarSpec>, faults: FaultList): void {
  if (ingress && ingress.length > 0 && !workloadSelector) {
    const message = '`ingress` without `workloadSelector` is for all workloads of the namespace alike; add a selector';
    faults.warning(['ingress'], 'selector', message, 'key');
  }
  for (const [index, { port, bind, defaultEndpoint, tls }] of present(ingress)) {
    const path = ['ingress', index];
    if (port && !('number' in port)) {
      faults.error([...path, 'port'], 'required', '`number` is required in the port; add it');
    }
    checkProtocol(port?.protocol, [...path, 'port', 'protocol'], faults);
    checkBind(bind, [...path, 'bind'], faults);
    if (defaultEndpoint !== undefined) checkEndpoint(defaultEndpoint, [...path, 'defaultEndpoint'], faults);
    if (tls) checkServerTls(tls, [...path, 'tls'], faults);
  }
  checkUnique(
    ingress,
    ({ port }) => port?.number?.toString(),
    faults,
    (index, port) => ({
      path: ['ingress', index, 'port', 'number'],
      message: `port ${port} is there twice in \`ingress\`; keep one`,
    }),
  );
}

function checkEgress({ egress }: Loose<SidecarSpec>, faults: FaultList): void {
  let catchAll: number | undefined;
  for (const [index, { port, bind, hosts }] of present(egress)) {
    const path = ['egress', index];
    if (catchAll !== undefined) {
      const message = `a listener after the one without a port (item ${catchAll}) is never used; move that to the end`;
      faults.error(path, 'unreachable', message);
    }
    if (!port && bind === undefined) catchAll ??= index;
    if (port && !('number' in port) && !bind?.startsWith('unix://')) {
      faults.error([...path, 'port'], 'required', '`number` is required in the port; add it');
    }
    checkProtocol(port?.protocol, [...path, 'port', 'protocol'], faults);
    checkBind(bind, [...path, 'bind'], faults);
    for (const [at, host] of present(hosts)) checkEgressHost(host, [...path, 'hosts', at], faults);
    checkUnique(
      hosts,
      (host) => host,
      faults,
      (at, host) => ({
        path: [...path, 'hosts', at],
        message: `host \`${host}\` is there twice; keep one`,
      }),
    );
  }
  checkUnique(
    egress,
    ({ port, bind = '' }) => (port?.number ? `${bind}:${port.number}` : undefined),
    faults,
    (index, port) => ({
      path: ['egress', index, 'port', 'number'],
      message: `port ${port.slice(port.lastIndexOf(':') + 1)} is there twice in \`egress\`; keep one`,
    }),
  );
}

function checkEgressHost(text: string, path: FieldPath, faults: FaultList): void {
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
  const wrong = isIpAddress(host) ? `\`${host}\` is an address; write the name of a service` : hostOrAddressFault(host);
  if (wrong) faults.error(path, 'host', wrong);
}

function checkBind(bind: string | undefined, path: FieldPath, faults: FaultList): void {
  if (bind === undefined || isIpAddress(bind) || /^unix:\/\/(\/|@)./.test(bind)) return;
  faults.error(path, 'address', `\`${bind}\` is not an address; write an IP address or unix:///PATH`);
}

function checkEndpoint(endpoint: string, path: FieldPath, faults: FaultList): void {
  const parts = /^(127\.0\.0\.1|0\.0\.0\.0|\[::1\]|\[::\]):(\d{1,5})$/.exec(endpoint);
  const port = Number(parts?.[2]);
  if (/^unix:\/\/(\/|@)./.test(endpoint) || (parts && port >= 1 && port <= 65_535)) return;
  const advice = 'write 127.0.0.1:PORT, [::1]:PORT, 0.0.0.0:PORT, [::]:PORT or unix:///PATH';
  faults.error(path, 'address', `\`${endpoint}\` is not an endpoint; ${advice}`);
}
