// Objects: what all that is installed has in common: names, labels, and the shape of a Deployment that the strictest policy takes.
import type { WholeValues } from './values/resolve-values.js';

/** An object of the Kubernetes API. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

export const SYSTEM_NAMESPACE = 'istio-system';
export const DEFAULT_REVISION = 'default';
export const PART_OF = 'app.kubernetes.io/part-of';
export const REVISION_LABEL = 'istio.io/rev';
export const COMPONENT_LABEL = 'lateen.io/component';
/** Nobody; the proxies of pods are 1337. */
const USER = 65_532;

/** The name of what a revision has for itself: `pilot`, or `pilot-REVISION`. */
export function revisioned(name: string, revision: string): string {
  return revision === DEFAULT_REVISION ? name : `${name}-${revision}`;
}

/** Labels of an object of a component; without a revision: of what all revisions share. */
export function componentLabels(component: string, revision?: string): Record<string, string> {
  return {
    app: component,
    [PART_OF]: 'lateen',
    'app.kubernetes.io/name': component,
    [COMPONENT_LABEL]: component,
    ...(revision !== undefined && { [REVISION_LABEL]: revision }),
  };
}

/** Metadata of what one revision has. */
export function ownMetadata(component: string, revision: string, name = component) {
  return {
    name: revisioned(name, revision),
    namespace: SYSTEM_NAMESPACE,
    labels: componentLabels(component, revision),
  };
}

/** Metadata of what all revisions share. */
export function sharedMetadata(component: string, name = component, namespace: string | undefined = SYSTEM_NAMESPACE) {
  return { name, ...(namespace !== undefined && { namespace }), labels: componentLabels(component) };
}

export interface Workload {
  readonly component: string;
  /** Of its container. */
  readonly container: Record<string, unknown>;
  readonly volumes: readonly Record<string, unknown>[];
  readonly values: DeployedValues;
  readonly podLabels?: Readonly<Record<string, string>>;
  readonly podAnnotations?: Readonly<Record<string, string>>;
  readonly user?: number;
  readonly terminationGracePeriodSeconds?: number;
}

/** What the values say of a Deployment. */
export type DeployedValues = NonNullable<WholeValues['components']['galley']>;

/** What a container of ours may do: nothing but run (Pod Security: restricted). */
export const RESTRICTED = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  privileged: false,
  readOnlyRootFilesystem: true,
};

/** The Deployment of a component in a revision. */
export function deployment(workload: Workload, values: WholeValues): KubernetesObject {
  const { component, container, volumes, values: own, user = USER } = workload;
  const selector = { app: component, [REVISION_LABEL]: values.revision };
  const autoscaled = own.autoscaling?.enabled === true;
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: ownMetadata(component, values.revision),
    spec: {
      // An autoscaler's number is not to be set back by the next apply.
      ...(!autoscaled && { replicas: own.replicas ?? 1 }),
      selector: { matchLabels: selector },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      template: {
        metadata: {
          labels: {
            ...componentLabels(component, values.revision),
            ...workload.podLabels,
            'sidecar.istio.io/inject': 'false',
          },
          annotations: { ...workload.podAnnotations, ...own.podAnnotations },
        },
        spec: {
          serviceAccountName: component,
          securityContext: {
            runAsNonRoot: true,
            runAsUser: user,
            runAsGroup: user,
            fsGroup: user,
            seccompProfile: { type: 'RuntimeDefault' },
          },
          terminationGracePeriodSeconds: workload.terminationGracePeriodSeconds ?? 30,
          ...(own.priorityClassName !== undefined && { priorityClassName: own.priorityClassName }),
          ...(own.nodeSelector !== undefined && { nodeSelector: own.nodeSelector }),
          ...(own.tolerations !== undefined && { tolerations: own.tolerations }),
          ...(values.imagePullSecrets !== undefined && {
            imagePullSecrets: values.imagePullSecrets.map((name) => ({ name })),
          }),
          topologySpreadConstraints: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map((topologyKey) => ({
            maxSkew: 1,
            topologyKey,
            whenUnsatisfiable: 'ScheduleAnyway',
            labelSelector: { matchLabels: selector },
          })),
          containers: [
            {
              ...container,
              imagePullPolicy: values.imagePullPolicy,
              ...(own.resources !== undefined && { resources: own.resources }),
              securityContext: RESTRICTED,
            },
          ],
          ...(volumes.length > 0 && { volumes }),
        },
      },
    },
  };
}

/** What keeps a component up while nodes are drained, and scales it. */
export function availability(component: string, own: DeployedValues, values: WholeValues): KubernetesObject[] {
  const metadata = ownMetadata(component, values.revision);
  const matchLabels = { app: component, [REVISION_LABEL]: values.revision };
  const objects: KubernetesObject[] = [
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      // Not minAvailable: 1, which would keep a single replica's node from ever being drained.
      spec: { maxUnavailable: 1, selector: { matchLabels }, unhealthyPodEvictionPolicy: 'AlwaysAllow' },
    },
  ];
  const { autoscaling } = own;
  if (autoscaling?.enabled === true) {
    objects.push({
      apiVersion: 'autoscaling/v2',
      kind: 'HorizontalPodAutoscaler',
      metadata,
      spec: {
        scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: metadata.name },
        minReplicas: autoscaling.minReplicas ?? 1,
        maxReplicas: autoscaling.maxReplicas ?? 5,
        metrics: [
          {
            type: 'Resource',
            resource: {
              name: 'cpu',
              target: { type: 'Utilization', averageUtilization: autoscaling.targetCpuUtilization ?? 80 },
            },
          },
        ],
      },
    });
  }
  return objects;
}

/** Who may reach which ports: `from` empty means everybody. What is not listed nobody reaches. */
export interface Admitted {
  readonly ports: readonly number[];
  readonly from?: readonly Record<string, unknown>[];
}

/** The NetworkPolicy of a component. Port-forwards end inside of the pod and need no rule. */
export function networkPolicy(
  component: string,
  admitted: readonly Admitted[],
  values: WholeValues,
): KubernetesObject[] {
  if (values.networkPolicy !== true) return [];
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: ownMetadata(component, values.revision),
      spec: {
        podSelector: { matchLabels: { app: component, [REVISION_LABEL]: values.revision } },
        policyTypes: ['Ingress'],
        ingress: admitted.map(({ ports, from }) => ({
          ...(from !== undefined && { from }),
          ports: ports.map((port) => ({ port, protocol: 'TCP' })),
        })),
      },
    },
  ];
}

/** Rules of a Role (in the system's namespace) or of a ClusterRole, bound to a component's account. */
export function role(
  component: string,
  rules: readonly PolicyRule[],
  scope: 'Role' | 'ClusterRole',
): KubernetesObject[] {
  if (rules.length === 0) return [];
  const namespace = scope === 'Role' ? SYSTEM_NAMESPACE : undefined;
  const name = scope === 'Role' ? component : `lateen-${component}`;
  const metadata = { name, ...(namespace !== undefined && { namespace }), labels: componentLabels(component) };
  const group = 'rbac.authorization.k8s.io';
  return [
    { apiVersion: `${group}/v1`, kind: scope, metadata, rules },
    {
      apiVersion: `${group}/v1`,
      kind: `${scope}Binding`,
      metadata,
      roleRef: { apiGroup: group, kind: scope, name },
      subjects: [{ kind: 'ServiceAccount', name: component, namespace: SYSTEM_NAMESPACE }],
    },
  ];
}

/** A rule of RBAC. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

export function serviceAccount(component: string): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: sharedMetadata(component),
    automountServiceAccountToken: true,
  };
}
