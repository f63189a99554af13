// Pods: the environment variables of an application, as Kubernetes would set them, pointing into the pod's own addresses.

import type { POD_FIELDS, PodField } from '@lateen/istio-config';
import { type KubeEnvValue, type KubeService, serviceHost } from '../../kubernetes/objects.js';
import type { EntryHost } from '../registry/entry-hosts.js';

const FORWARD_PROXY_PORT = 15007;
const LOOPBACK = '127.0.0.1';
/** As in a cluster, where others than the pod itself have to reach it. */
const EVERY_ADDRESS = '0.0.0.0';
/** Of the supervisor's own environment an application sees these and no more: a container would see none. */
const INHERITED = ['PATH', 'HOME', 'USER', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'] as const;

export interface PodFields {
  readonly podName: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface EnvironmentOptions {
  readonly fields: PodFields;
  readonly env: readonly { readonly name: string; readonly value: KubeEnvValue }[];
  /** Container port -> port of 127.0.0.1 where the application is to listen; the first is the main one. */
  readonly appPorts: ReadonlyMap<number, number>;
  /** Services of the pod's namespace. */
  readonly services: readonly KubeService[];
  /** Hosts of ServiceEntries that the pod sees. */
  readonly entryHosts: readonly EntryHost[];
  /**
   * Where the names of all services and hosts stand, in the form of /etc/hosts; undefined where connections are intercepted:
   * then nothing has to be told, and the application listens at the container's own ports.
   */
  readonly hostsFile: string | undefined;
  /** The pod's own address for calls to a service. */
  readonly serviceAddress: (host: string) => string;
}

/** All variables of the application. What the container's `env` says wins, except PORT and HOST, which are local mode's unless connections are intercepted. */
export function buildEnvironment(options: EnvironmentOptions): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  const { serviceAddress } = options;
  const entries = options.entryHosts.map(({ host, ports }) => ({ name: host, host, ports }));
  const services = options.services.map((each) => ({ name: each.name, host: serviceHost(each), ports: each.ports }));
  // Of one name the Service's variables count.
  const called = [...entries, ...services].map((each) => ({ ...each, address: serviceAddress(each.host) }));
  for (const { name, address, ports } of called) Object.assign(env, serviceVariables(name, address, ports));

  Object.assign(env, {
    HOSTNAME: options.fields.podName,
    POD_NAME: options.fields.podName,
    NAMESPACE: options.fields.namespace,
    POD_IP: options.fields.address,
  });
  const { hostsFile } = options;
  const intercepted = hostsFile === undefined;
  const listening = { ...portVariables(options.appPorts), HOST: intercepted ? EVERY_ADDRESS : LOOPBACK };
  if (intercepted) {
    Object.assign(env, listening);
  } else {
    const proxy = `http://${options.fields.address}:${FORWARD_PROXY_PORT}`;
    const direct = ['localhost', LOOPBACK, options.fields.address, ...called.map(({ address }) => address)].join(',');
    const proxies = { HTTP_PROXY: proxy, http_proxy: proxy, NO_PROXY: direct, no_proxy: direct };
    Object.assign(env, { LATEEN_HOSTS_FILE: hostsFile, ...proxies });
  }

  for (const { name, value } of options.env) {
    env[name] = 'text' in value ? expand(value.text, env) : podFieldValue(value.field, options.fields);
  }
  // Where the sidecar expects it, whatever the container says; an intercepted one listens where it likes.
  return intercepted ? env : { ...env, ...listening };
}

/** PORT is where the first container port's traffic goes; PORT_9090 where that of container port 9090 goes. */
function portVariables(appPorts: ReadonlyMap<number, number>): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [containerPort, appPort] of appPorts) {
    env.PORT ??= String(appPort);
    env[`PORT_${containerPort}`] = String(appPort);
  }
  return env;
}

/**
 * Kubernetes's variables of one service; see "Discovering services" in its documentation. A host of a ServiceEntry has
 * them too: `httpbin.example` is `HTTPBIN_EXAMPLE_SERVICE_HOST`, `*.example.com` is `ANY_EXAMPLE_COM_SERVICE_HOST`.
 */
function serviceVariables(name: string, address: string, ports: EntryHost['ports']): Record<string, string> {
  const prefix = variableName(name);
  const first = ports[0];
  if (first === undefined) return {};
  const env: Record<string, string> = {
    [`${prefix}_SERVICE_HOST`]: address,
    [`${prefix}_SERVICE_PORT`]: String(first.port),
    [`${prefix}_PORT`]: `tcp://${address}:${first.port}`,
  };
  for (const port of ports) {
    if (port.name !== '') env[`${prefix}_SERVICE_PORT_${variableName(port.name)}`] = String(port.port);
    const link = `${prefix}_PORT_${port.port}_TCP`;
    env[link] = `tcp://${address}:${port.port}`;
    env[`${link}_PROTO`] = 'tcp';
    env[`${link}_PORT`] = String(port.port);
    env[`${link}_ADDR`] = address;
  }
  return env;
}

function variableName(name: string): string {
  return name.replace(/^\*/, 'any').toUpperCase().replaceAll(/[-.]/g, '_');
}

/** Replaces `$(NAME)` by a variable set before; `$$` is a dollar sign; an unknown name stays as it is, as in Kubernetes. */
function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (env[name] ?? whole),
  );
}

const PLAIN_FIELDS: Readonly<Record<(typeof POD_FIELDS)[number], (fields: PodFields) => string>> = {
  'metadata.name': (fields) => fields.podName,
  'metadata.namespace': (fields) => fields.namespace,
  'spec.serviceAccountName': (fields) => fields.serviceAccount,
  'status.podIP': (fields) => fields.address,
  'status.hostIP': () => LOOPBACK,
  'spec.nodeName': () => 'localhost',
};

function podFieldValue(field: PodField, fields: PodFields): string {
  return 'field' in field ? PLAIN_FIELDS[field.field](fields) : (fields[field.map][field.key] ?? '');
}
