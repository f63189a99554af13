// Values: a pod as the API server has it, as far as injection looks at it; fields that it does not know stay as they are.

export interface ObjectMeta {
  name?: string;
  generateName?: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  [field: string]: unknown;
}

export interface OwnerReference {
  apiVersion?: string;
  kind?: string;
  name?: string;
  controller?: boolean;
  [field: string]: unknown;
}

export interface HttpGetAction {
  path?: string;
  port: number | string;
  scheme?: string;
  host?: string;
  httpHeaders?: { name: string; value?: string }[];
  [field: string]: unknown;
}

export interface TcpSocketAction {
  port: number | string;
  host?: string;
  [field: string]: unknown;
}

export interface GrpcAction {
  port: number;
  service?: string;
  [field: string]: unknown;
}

/** A probe, or a hook of a container's life (which has no times). */
export interface Handler {
  httpGet?: HttpGetAction;
  tcpSocket?: TcpSocketAction;
  grpc?: GrpcAction;
  timeoutSeconds?: number;
  [field: string]: unknown;
}

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: unknown;
}

export interface ContainerPort {
  name?: string;
  containerPort: number;
  protocol?: string;
  [field: string]: unknown;
}

export interface Container {
  name: string;
  image?: string;
  args?: string[];
  env?: EnvVar[];
  ports?: ContainerPort[];
  restartPolicy?: string;
  livenessProbe?: Handler;
  readinessProbe?: Handler;
  startupProbe?: Handler;
  lifecycle?: { postStart?: Handler; preStop?: Handler; [field: string]: unknown };
  securityContext?: { runAsUser?: number; [field: string]: unknown };
  [field: string]: unknown;
}

export interface NamedEntry {
  name: string;
  [field: string]: unknown;
}

export interface PodSpec {
  containers?: Container[];
  initContainers?: Container[];
  volumes?: NamedEntry[];
  imagePullSecrets?: NamedEntry[];
  hostNetwork?: boolean;
  securityContext?: { runAsUser?: number; [field: string]: unknown };
  [field: string]: unknown;
}

export interface Pod {
  apiVersion?: string;
  kind?: string;
  metadata?: ObjectMeta;
  spec?: PodSpec;
  [field: string]: unknown;
}

/** As far as injection looks at a namespace. */
export interface Namespace {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export const PROXY_CONTAINER = 'istio-proxy';
export const INIT_CONTAINER = 'istio-init';
export const VALIDATION_CONTAINER = 'istio-validation';
/** Whose sockets the redirect rules leave alone. */
export const PROXY_UID = 1337;
export const STATUS_PORT = 15_020;

export const STATUS_ANNOTATION = 'sidecar.istio.io/status';
export const OVERRIDES_ANNOTATION = 'proxy.istio.io/overrides';
export const TEMPLATES_ANNOTATION = 'inject.istio.io/templates';
export const INJECT_LABEL = 'sidecar.istio.io/inject';
export const REVISION_LABEL = 'istio.io/rev';
export const NAMESPACE_LABEL = 'istio-injection';

export function labelsOf({ metadata }: Pod): Readonly<Record<string, string>> {
  return metadata?.labels ?? {};
}

export function annotationsOf({ metadata }: Pod): Readonly<Record<string, string>> {
  return metadata?.annotations ?? {};
}

/** The proxy's container, wherever it stands. */
export function proxyContainer({ spec }: Pod): Container | undefined {
  const isProxy = ({ name }: Container) => name === PROXY_CONTAINER;
  return spec?.containers?.find(isProxy) ?? spec?.initContainers?.find(isProxy);
}
