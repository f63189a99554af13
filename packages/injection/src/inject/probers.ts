// Injection: probes and hooks that the kubelet asks of an application are asked of its proxy instead, which lets them pass
// without a certificate; how the application is asked is told to the proxy in ISTIO_KUBE_APP_PROBERS.

import { type Container, type Handler, type Pod, PROXY_CONTAINER, proxyContainer, STATUS_PORT } from '../pod.js';

const PROBERS_VARIABLE = 'ISTIO_KUBE_APP_PROBERS';

/** One way in which an application is asked, as Istio writes it. */
type Prober = Pick<Handler, 'httpGet' | 'tcpSocket' | 'grpc' | 'timeoutSeconds'>;

/** Hooks have no limit of their own but the end of the pod; a probe has a second. */
const HOOK_SECONDS = 30;

interface Place {
  readonly path: string;
  readonly isHook: boolean;
  readonly read: () => Handler | undefined;
  readonly write: (handler: Handler) => void;
}

/** Everything of a container that asks it; its path at the proxy is Istio's. */
function placesOf(container: Container): Place[] {
  const probe = (field: 'livenessProbe' | 'readinessProbe' | 'startupProbe', word: string): Place => ({
    path: `/app-health/${container.name}/${word}`,
    isHook: false,
    read: () => container[field],
    write: (handler) => {
      container[field] = handler;
    },
  });
  const hook = (field: 'postStart' | 'preStop', word: string): Place => ({
    path: `/app-lifecycle/${container.name}/${word}`,
    isHook: true,
    read: () => container.lifecycle?.[field],
    write: (handler) => {
      container.lifecycle = { ...container.lifecycle, [field]: handler };
    },
  });
  return [
    probe('readinessProbe', 'readyz'),
    probe('livenessProbe', 'livez'),
    probe('startupProbe', 'startupz'),
    hook('preStop', 'prestopz'),
    hook('postStart', 'poststartz'),
  ];
}

/** Containers that run while the proxy does. */
function probedContainers({ spec }: Pod): Container[] {
  const native = (spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(spec?.containers ?? []), ...native].filter(({ name }) => name !== PROXY_CONTAINER);
}

/** Changes the pod; returns warnings. */
export function rewriteProbes(pod: Pod): string[] {
  const proxy = proxyContainer(pod);
  if (proxy === undefined) return [];
  const warnings: string[] = [];
  const probers: Record<string, Prober> = {};
  for (const container of probedContainers(pod)) {
    for (const place of placesOf(container)) {
      const handler = place.read();
      if (handler === undefined || askedElsewhere(handler)) continue;
      const prober = proberOf(handler, container);
      if (prober === undefined) {
        warnings.push(
          `container ${container.name}: a probe names a port that the container does not declare; it is left as it is`,
        );
        continue;
      }
      probers[place.path] = place.isHook ? { ...prober, timeoutSeconds: HOOK_SECONDS } : prober;
      place.write(rewritten(handler, place.path));
    }
  }
  if (Object.keys(probers).length > 0) {
    const variable = { name: PROBERS_VARIABLE, value: JSON.stringify(probers) };
    proxy.env = [...(proxy.env ?? []).filter(({ name }) => name !== PROBERS_VARIABLE), variable];
  }
  return warnings;
}

/** Commands run inside of the container, and what asks the proxy's own port is nothing of the application. */
function askedElsewhere({ httpGet, tcpSocket, grpc }: Handler): boolean {
  if (httpGet === undefined && tcpSocket === undefined && grpc === undefined) return true;
  return [httpGet?.port, tcpSocket?.port, grpc?.port].includes(STATUS_PORT);
}

function proberOf({ httpGet, tcpSocket, grpc, timeoutSeconds }: Handler, container: Container): Prober | undefined {
  const timed = timeoutSeconds === undefined ? {} : { timeoutSeconds };
  if (grpc !== undefined) return { grpc, ...timed };
  const action = httpGet ?? tcpSocket;
  const port = action && portNumber(action.port, container);
  if (port === undefined) return undefined;
  return httpGet === undefined
    ? { tcpSocket: { ...tcpSocket, port }, ...timed }
    : { httpGet: { ...httpGet, port }, ...timed };
}

function portNumber(port: number | string, { ports = [] }: Container): number | undefined {
  if (typeof port === 'number') return port;
  if (/^\d+$/.test(port)) return Number(port);
  return ports.find(({ name }) => name === port)?.containerPort;
}

/** The proxy speaks HTTP at the pod's address, whatever the application speaks; times stay. */
function rewritten({ httpGet, tcpSocket: _tcp, grpc: _grpc, ...rest }: Handler, path: string): Handler {
  const headers = httpGet?.httpHeaders;
  return { ...rest, httpGet: { path, port: STATUS_PORT, ...(headers !== undefined && { httpHeaders: headers }) } };
}

/** Puts back what `rewriteProbes` has changed; changes the pod. */
export function restoreProbes(pod: Pod): void {
  const text = proxyContainer(pod)?.env?.find(({ name }) => name === PROBERS_VARIABLE)?.value;
  const probers = text === undefined ? undefined : readProbers(text);
  if (probers === undefined) return;
  for (const container of probedContainers(pod)) {
    for (const place of placesOf(container)) {
      const handler = place.read();
      const prober = probers[place.path];
      if (handler?.httpGet?.path !== place.path || handler.httpGet.port !== STATUS_PORT || prober === undefined)
        continue;
      const { httpGet: _, ...rest } = handler;
      const { timeoutSeconds: _seconds, ...action } = prober;
      place.write({ ...rest, ...action });
    }
  }
}

/** Nothing where it is not ours: then probes stay as they are. */
function readProbers(text: string): Record<string, Prober> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, Prober>) : undefined;
  } catch {
    return undefined;
  }
}
