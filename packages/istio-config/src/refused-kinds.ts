// Acted on: the kinds that are known and refused by name, each with what to do. A later issue takes its kinds out.

const POLICY = 'a policy that is not enforced must not be accepted, so remove it until it is';
const LOCAL = 'remove it from what local mode gets';

/** By API group, then kind; `*` is any kind of the group. */
const REFUSED: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'install.istio.io': { IstioOperator: 'remove it; mesh settings go into mesh.yaml' },
  'gateway.networking.k8s.io': { '*': 'write Gateway and VirtualService of networking.istio.io' },
  '': {
    ConfigMap: `${LOCAL}; mesh settings go into mesh.yaml`,
    Pod: 'write a Deployment',
    Endpoints: LOCAL,
    PersistentVolume: LOCAL,
    PersistentVolumeClaim: LOCAL,
    ReplicationController: 'write a Deployment',
    LimitRange: LOCAL,
    ResourceQuota: LOCAL,
  },
  apps: {
    StatefulSet: 'write a Deployment',
    DaemonSet: 'write a Deployment',
    ReplicaSet: 'write a Deployment',
  },
  batch: { '*': LOCAL },
  autoscaling: { '*': LOCAL },
  policy: { '*': LOCAL },
  'discovery.k8s.io': { '*': LOCAL },
  'networking.k8s.io': { Ingress: 'write Gateway and VirtualService', IngressClass: LOCAL, NetworkPolicy: POLICY },
  'rbac.authorization.k8s.io': { '*': LOCAL },
  'apiextensions.k8s.io': { '*': LOCAL },
  'admissionregistration.k8s.io': { '*': LOCAL },
};

/** Why a kind is refused and what to do, or undefined where it is not refused by name. */
export function refusedKind(group: string, kind: string): string | undefined {
  const ofGroup = Object.hasOwn(REFUSED, group) ? REFUSED[group] : undefined;
  const advice = ofGroup && (Object.hasOwn(ofGroup, kind) ? ofGroup[kind] : ofGroup['*']);
  return advice && `kind ${kind}${group === '' ? '' : ` of ${group}`} is not supported yet; ${advice}`;
}
