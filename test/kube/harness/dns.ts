// Test cluster: its DNS: CoreDNS as pods of kube-system behind the Service kube-dns.

import { CLUSTER_DOMAIN, DNS_SERVICE } from './addresses.js';
import type { Image } from './images.js';

/** Names outside the cluster, each with an address. */
export type OutsideNames = Readonly<Record<string, string>>;

/** @param coredns path of the built program */
export function dnsImage(coredns: string): Image {
  return { binds: [{ source: coredns, target: '/opt/coredns' }], entrypoint: ['/opt/coredns'] };
}

/** Everything to apply. Names that neither the cluster nor `names` knows do not exist. */
export function dnsManifest(names: OutsideNames): string {
  const outside = Object.entries(names).map(([name, address]) => `          ${address} ${name}\n`);
  return `
apiVersion: v1
kind: ServiceAccount
metadata: { name: coredns, namespace: kube-system }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: system:coredns }
rules:
  - { apiGroups: [''], resources: [services, pods, namespaces], verbs: [list, watch] }
  - { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: system:coredns }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns }
subjects: [{ kind: ServiceAccount, name: coredns, namespace: kube-system }]
---
apiVersion: v1
kind: ConfigMap
metadata: { name: coredns, namespace: kube-system }
data:
  Corefile: |
    .:53 {
        ready
        errors
        cache 5 {
          denial 1024 1
        }
        hosts {
${outside.join('')}          ttl 5
          fallthrough
        }
        kubernetes ${CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {
          pods insecure
          ttl 5
        }
        template ANY ANY {
          rcode NXDOMAIN
        }
    }
---
apiVersion: v1
kind: Service
metadata:
  name: kube-dns
  namespace: kube-system
  labels: { k8s-app: kube-dns, kubernetes.io/name: CoreDNS }
spec:
  ipFamilyPolicy: RequireDualStack
  clusterIP: ${DNS_SERVICE.ipv4}
  clusterIPs: ['${DNS_SERVICE.ipv4}', '${DNS_SERVICE.ipv6}']
  selector: { k8s-app: kube-dns }
  ports:
    - { name: dns, port: 53, protocol: UDP }
    - { name: dns-tcp, port: 53, protocol: TCP }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: coredns, namespace: kube-system, labels: { k8s-app: kube-dns } }
spec:
  selector: { matchLabels: { k8s-app: kube-dns } }
  template:
    metadata: { labels: { k8s-app: kube-dns } }
    spec:
      serviceAccountName: coredns
      dnsPolicy: Default
      terminationGracePeriodSeconds: 1
      containers:
        - name: coredns
          image: coredns
          args: [-conf, /etc/coredns/Corefile]
          readinessProbe: { httpGet: { path: /ready, port: 8181 }, periodSeconds: 1 }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: { drop: [ALL], add: [NET_BIND_SERVICE] }
          volumeMounts: [{ name: config, mountPath: /etc/coredns, readOnly: true }]
      volumes: [{ name: config, configMap: { name: coredns } }]
`;
}
