// Pods: the ingress gateway that every local mesh has, as Istio's demo profile would deploy it.

import type { KubeDeployment, KubeService } from '../../kubernetes/objects.js';
import type { IngressPorts } from '../network/ingress-port.js';
import type { PodPlan } from './pod-plan.js';
import { DEFAULT_PROBE } from './probe.js';

export const SYSTEM_NAMESPACE = 'istio-system';
const NAME = 'istio-ingressgateway';
const LABELS = { app: NAME, istio: 'ingressgateway', version: 'latest' };

/** Ports that the gateway's listeners for 80 and 443 bind. */
export const GATEWAY_HTTP_PORT = 8080;
const GATEWAY_HTTPS_PORT = 8443;

const DEPLOYMENT: KubeDeployment = {
  namespace: SYSTEM_NAMESPACE,
  name: NAME,
  labels: LABELS,
  replicas: 1,
  directory: '/',
  template: {
    labels: LABELS,
    annotations: {},
    serviceAccount: `${NAME}-service-account`,
    containerName: 'istio-proxy',
    command: [],
    env: [],
    ports: [],
    readinessProbe: DEFAULT_PROBE,
    terminationGraceMs: 5000,
  },
};

/** The host's addresses of the gateway, by the port of its listener. */
export function gatewayBindAddresses({ http, https }: IngressPorts): Readonly<Record<string, string>> {
  return {
    [GATEWAY_HTTP_PORT]: `127.0.0.1:${http}`,
    ...(https === undefined ? {} : { [GATEWAY_HTTPS_PORT]: `127.0.0.1:${https}` }),
  };
}

/** The same for a gateway in a network of its own: where of this machine connections to its ports are taken. */
export function gatewayHostPorts({ http, https }: IngressPorts): ReadonlyMap<number, { host: string; port: number }> {
  const at = (port: number) => ({ host: '127.0.0.1', port });
  const ports = new Map([[GATEWAY_HTTP_PORT, at(http)]]);
  return https === undefined ? ports : ports.set(GATEWAY_HTTPS_PORT, at(https));
}

/** The gateway's pod: always the same name, since it is not made from a document. */
export const GATEWAY_POD: PodPlan = {
  name: `${NAME}-0`,
  namespace: SYSTEM_NAMESPACE,
  deployment: DEPLOYMENT,
  templateHash: '',
  ports: [],
  gateway: true,
};

/** The gateway's Service, as in a cluster: 80 and 443 lead to the ports that the listeners bind. */
export const GATEWAY_SERVICE: KubeService = {
  namespace: SYSTEM_NAMESPACE,
  name: NAME,
  labels: LABELS,
  annotations: {},
  selector: { istio: 'ingressgateway' },
  ports: [
    { name: 'http2', port: 80, targetPort: GATEWAY_HTTP_PORT, appProtocol: '' },
    { name: 'https', port: 443, targetPort: GATEWAY_HTTPS_PORT, appProtocol: '' },
  ],
  headless: false,
  nodeLocal: false,
};
