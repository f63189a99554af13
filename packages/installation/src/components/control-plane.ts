// Components: what Galley, Pilot and Citadel have in common in a pod: flags, probes, tokens, trust roots.
import { type KubernetesObject, revisioned, SYSTEM_NAMESPACE } from '../objects.js';
import type { WholeValues } from '../values/resolve-values.js';

export type ControlPlaneName = 'galley' | 'pilot' | 'citadel';

export const MONITORING_PORT = 15_014;
export const ADMIN_PORT = 15_016;
/** Each keeps its state in a folder of its own below, which only it can enter. */
const STATE_DIR = '/var/lib/lateen';
const TOKEN_DIR = '/var/run/secrets/tokens';
const ROOT_DIR = '/var/run/secrets/istio';

/** Where a service of a revision is reached. */
export function addressOf(name: ControlPlaneName, port: number, values: Pick<WholeValues, 'revision'>): string {
  return `${revisioned(name, values.revision)}.${SYSTEM_NAMESPACE}.svc:${port}`;
}

export function image(name: string, { hub, tag }: Pick<WholeValues, 'hub' | 'tag'>): string {
  return `${hub}/${name}:${tag}`;
}

/** The token for Citadel, and what its certificate is checked with. */
export const IDENTITY_VOLUMES = [
  {
    name: 'istio-token',
    projected: {
      sources: [{ serviceAccountToken: { path: 'istio-token', audience: 'istio-ca', expirationSeconds: 43_200 } }],
    },
  },
  { name: 'istio-ca-root-cert', configMap: { name: 'istio-ca-root-cert' } },
];

export const IDENTITY_MOUNTS = [
  { name: 'istio-token', mountPath: TOKEN_DIR, readOnly: true },
  { name: 'istio-ca-root-cert', mountPath: ROOT_DIR, readOnly: true },
];

/** A field of the pod as a variable. */
export function fieldVariable(name: string, fieldPath: string) {
  return { name, valueFrom: { fieldRef: { fieldPath } } };
}

export interface ControlPlaneContainer {
  readonly name: ControlPlaneName;
  /** Ports beside the admin's and the monitoring's, by name. */
  readonly ports: Readonly<Record<string, number>>;
  readonly args: readonly string[];
  /** Whether it is a client of Citadel's. */
  readonly certified: boolean;
}

/** The container of a service of the control plane. */
export function controlPlaneContainer({ name, ports, args, certified }: ControlPlaneContainer, values: WholeValues) {
  const own = values.components[name];
  const probe = (path: string, more: Record<string, number>) => ({
    httpGet: { path, port: MONITORING_PORT, scheme: 'HTTP' },
    timeoutSeconds: 5,
    ...more,
  });
  const allPorts = { ...ports, admin: ADMIN_PORT, 'http-monitoring': MONITORING_PORT };
  return {
    name,
    image: image(name, values),
    args: [
      '--kubernetes',
      '--revision',
      values.revision,
      '--address',
      values.bindAddress,
      '--trust-domain',
      values.trustDomain,
      '--log-level',
      own?.logLevel ?? 'info',
      ...(certified
        ? [
            '--state-dir',
            `${STATE_DIR}/${name}`,
            '--citadel-address',
            addressOf('citadel', 8060, values),
            '--token-file',
            `${TOKEN_DIR}/istio-token`,
            '--root-cert',
            `${ROOT_DIR}/root-cert.pem`,
          ]
        : []),
      ...args,
    ],
    env: [
      fieldVariable('POD_NAME', 'metadata.name'),
      fieldVariable('POD_NAMESPACE', 'metadata.namespace'),
      ...Object.entries(own?.env ?? {}).map(([key, value]) => ({ name: key, value })),
    ],
    ports: Object.entries(allPorts).map(([portName, containerPort]) => ({
      name: portName,
      containerPort,
      protocol: 'TCP',
    })),
    // Until it has started nothing else is asked; afterwards one that hangs is restarted, one that is not ready gets no calls.
    startupProbe: probe('/healthz', { periodSeconds: 1, failureThreshold: 60 }),
    readinessProbe: probe('/ready', { periodSeconds: 3, failureThreshold: 3 }),
    livenessProbe: probe('/healthz', { periodSeconds: 10, failureThreshold: 6 }),
    ...(certified && { volumeMounts: [{ name: 'state', mountPath: STATE_DIR }, ...IDENTITY_MOUNTS] }),
  };
}

/**
 * Its volumes: state that is gone with the pod (what must stay is in the API server), in memory since keys are in it. Citadel
 * itself has its root in a Secret and its journal in the log, so that its replicas are alike.
 */
export function controlPlaneVolumes(certified: boolean) {
  return certified ? [{ name: 'state', emptyDir: { medium: 'Memory', sizeLimit: '256Mi' } }, ...IDENTITY_VOLUMES] : [];
}

/** The Service of a component of a revision. */
export function service(
  metadata: KubernetesObject['metadata'],
  selector: Readonly<Record<string, string>>,
  ports: readonly {
    readonly name: string;
    readonly port: number;
    readonly targetPort?: number;
    readonly appProtocol?: string;
  }[],
): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata,
    spec: {
      // Both families where the cluster has both.
      ipFamilyPolicy: 'PreferDualStack',
      selector,
      ports: ports.map(({ targetPort, ...port }) => ({
        ...port,
        targetPort: targetPort ?? port.port,
        protocol: 'TCP',
      })),
    },
  };
}
