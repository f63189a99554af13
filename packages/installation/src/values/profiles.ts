// Values: the profiles: what each installs where nothing else is said.
import type { z } from 'zod';
import type { installationValues, Profile } from './schema.js';

export type InstallationValues = z.infer<typeof installationValues>;

const GATEWAY_PORTS = [
  { name: 'status-port', port: 15021, targetPort: 15021 },
  { name: 'http2', port: 80, targetPort: 8080 },
  { name: 'https', port: 443, targetPort: 8443 },
];

const one = {
  enabled: true,
  replicas: 1,
  autoscaling: { enabled: false, minReplicas: 1, maxReplicas: 5, targetCpuUtilization: 80 },
  logLevel: 'info' as const,
};
const several = { ...one, replicas: 2, autoscaling: { ...one.autoscaling, enabled: true, minReplicas: 2 } };

const request = (cpu: string, memory: string, mostMemory: string) => ({
  requests: { cpu, memory },
  limits: { memory: mostMemory },
});

/** Replicas as given, sizes by component: processes of this release need 60 to 100 MiB at rest. */
const components = (deployed: typeof one) => ({
  galley: { ...deployed, resources: request('100m', '160Mi', '1Gi') },
  pilot: { ...deployed, resources: request('200m', '256Mi', '2Gi') },
  citadel: { ...deployed, resources: request('50m', '128Mi', '512Mi') },
});

const gateway = (deployed: typeof one) => ({
  ingress: {
    ...deployed,
    resources: request('100m', '128Mi', '1Gi'),
    serviceType: 'LoadBalancer' as const,
    externalTrafficPolicy: 'Cluster' as const,
    ports: GATEWAY_PORTS,
  },
});

const shared = {
  revision: 'default',
  hub: 'lateen',
  imagePullPolicy: 'IfNotPresent' as const,
  bindAddress: '0.0.0.0' as const,
  trustDomain: 'cluster.local',
  networkPolicy: true,
  meshConfig: {},
  proxy: {
    resources: request('50m', '96Mi', '1Gi'),
    logLevel: 'warn' as const,
    dnsCapture: true,
  },
};

/** Defaults of each profile; `tag` is the release's own. */
export const PROFILE_VALUES: Readonly<Record<Profile, InstallationValues>> = {
  // The control plane alone, one replica each: for a cluster that brings its own gateways, or for a small one.
  minimal: {
    ...shared,
    profile: 'minimal',
    components: components(one),
    gateways: { ingress: { ...gateway(one).ingress, enabled: false } },
  },
  // For production: two replicas of everything, autoscaled, and an ingress gateway.
  default: { ...shared, profile: 'default', components: components(several), gateways: gateway(several) },
  // To try everything out: small, with a gateway, and every request in the access log.
  demo: {
    ...shared,
    profile: 'demo',
    components: components(one),
    gateways: gateway(one),
    meshConfig: { accessLogFile: '/dev/stdout' },
  },
};
