// Analyzers: who is in the mesh: namespaces, pods, webhooks, annotations.

import type { Report } from '../finding.js';
import { checkInjectionAnnotations, DEPRECATED_ANNOTATIONS, isPodAnnotation } from '../model/annotations.js';
import { asksForInjection, isInjected } from '../model/injected.js';
import type { MeshModel, Workload } from '../model/mesh-model.js';
import type { RawObject, RawPodSpec } from '../model/raw-object.js';

const CLUSTER_NAMESPACES = new Set(['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage']);
const PROXY_UID = 1337;

export function analyzeInjection(model: MeshModel, report: Report): void {
  for (const [name, namespace] of model.namespaces) checkNamespace(model, name, namespace, report);
  for (const workload of model.workloads) checkWorkload(model, workload, report);
  for (const pod of model.rawOfKind('Pod')) checkPod(model, pod, report);
  for (const object of model.raw) checkAnnotations(object, report);
  checkWebhooks(model, report);
  checkImages(model, report);
}

function checkNamespace(model: MeshModel, name: string, namespace: RawObject, report: Report): void {
  const { labels = {} } = namespace.metadata;
  const both = ['istio-injection', 'istio.io/rev'].filter((key) => labels[key] !== undefined);
  if (both.length > 1) {
    report(
      'IST0123',
      namespace,
      ['metadata', 'labels'],
      `it has the labels ${both.map((key) => `${key}=${labels[key]}`).join(' and ')}: the first counts; take one away`,
    );
  }
  const isOurs = name === model.rootNamespace || CLUSTER_NAMESPACES.has(name);
  if (
    both.length === 0 &&
    !isOurs &&
    model.knowsInjection &&
    model.workloads.some((workload) => workload.namespace === name)
  ) {
    report(
      'IST0102',
      namespace,
      [],
      `its pods get no proxy: kubectl label namespace ${name} istio-injection=enabled, or =disabled to say that it is meant so`,
    );
  }
  const revision = labels['istio.io/rev'];
  const known = revisions(model);
  if (revision !== undefined && labels['istio-injection'] === undefined && known.size > 0 && !known.has(revision)) {
    report(
      'LAT0010',
      namespace,
      ['metadata', 'labels', 'istio.io/rev'],
      `no revision or tag is called ${revision} (there are: ${[...known].join(', ')}): its pods get no proxy; correct it, or install the revision`,
    );
  }
}

/** What namespaces may say, by the webhooks that are there. */
function revisions(model: MeshModel): ReadonlySet<string> {
  const injectors = model
    .rawOfKind('MutatingWebhookConfiguration')
    .filter(({ metadata }) => metadata.labels?.app === 'sidecar-injector');
  return new Set(
    injectors.flatMap(({ metadata: { labels = {} } }) => labels['istio.io/tag'] ?? labels['istio.io/rev'] ?? []),
  );
}

function checkWorkload(model: MeshModel, workload: Workload, report: Report): void {
  const { object, spec, namespace } = workload;
  if (CLUSTER_NAMESPACES.has(namespace) || namespace === model.rootNamespace) return;
  const injected = isInjected(model, workload);
  const users = [
    spec.securityContext?.runAsUser,
    ...(spec.containers ?? [])
      .filter(({ name }) => name !== 'istio-proxy')
      .map(({ securityContext }) => securityContext?.runAsUser),
  ];
  if (injected && users.includes(PROXY_UID)) {
    report(
      'IST0144',
      object,
      ['spec'],
      `a container runs as user ${PROXY_UID}, which is the proxy's: what it sends is not intercepted; take another user`,
    );
  }
  const isAuto = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].some(({ image }) => image === 'auto');
  if (
    isAuto &&
    model.knowsInjection &&
    !isInjected(model, { ...workload, spec: { ...spec, containers: [], initContainers: [] } })
  ) {
    const code = object.kind === 'Pod' ? 'IST0147' : 'IST0146';
    report(
      code,
      object,
      ['spec'],
      'it has `image: auto`, which injection replaces, and its labels ask for none: it will not start; label it sidecar.istio.io/inject=true',
    );
  }
  const said = model.namespaces.get(namespace)?.metadata.labels ?? {};
  if (spec.hostNetwork === true && asksForInjection(said)) {
    report(
      'LAT0016',
      object,
      ['spec', 'hostNetwork'],
      'it uses the network of its node, where nothing can be intercepted: it stays out of the mesh',
    );
  }
}

/** A pod that should have a proxy and was made before its namespace said so. */
function checkPod(model: MeshModel, pod: RawObject, report: Report): void {
  const namespace = pod.metadata.namespace ?? 'default';
  const said = model.namespaces.get(namespace)?.metadata.labels ?? {};
  const spec = (pod.spec ?? {}) as RawPodSpec;
  const { labels = {} } = pod.metadata;
  const phase = (pod.status as { phase?: string } | undefined)?.phase;
  if (phase === undefined || phase === 'Succeeded' || phase === 'Failed' || spec.hostNetwork === true) return;
  if (
    labels['sidecar.istio.io/inject'] === 'false' ||
    (!asksForInjection(said) && labels['sidecar.istio.io/inject'] !== 'true')
  )
    return;
  if ([...(spec.containers ?? []), ...(spec.initContainers ?? [])].some(({ name }) => name === 'istio-proxy')) return;
  report(
    'IST0103',
    pod,
    [],
    `it has no proxy, though it should: it is older than the label, or injection failed; restart it (kubectl rollout restart), and see lateenctl check-inject ${pod.metadata.name} -n ${namespace}`,
  );
}

function checkAnnotations(object: RawObject, report: Report): void {
  const template = (object.spec as { template?: { metadata?: { annotations?: Record<string, string> } } } | undefined)
    ?.template;
  const places: [Readonly<Record<string, string>>, (string | number)[], boolean][] = [
    [object.metadata.annotations ?? {}, ['metadata', 'annotations'], object.kind === 'Pod'],
    [template?.metadata?.annotations ?? {}, ['spec', 'template', 'metadata', 'annotations'], true],
  ];
  for (const [annotations, path, isPod] of places) {
    for (const [name, value] of Object.entries(annotations)) {
      const deprecated = DEPRECATED_ANNOTATIONS[name];
      if (deprecated !== undefined && isPod)
        report('IST0135', object, [...path, name], `it is on its way out; ${deprecated}`);
      if (isPodAnnotation(name) && !isPod && object.kind !== 'Namespace' && object.kind !== 'Service') {
        report(
          'IST0107',
          object,
          [...path, name],
          'it has an effect on pods only: put it into spec.template.metadata.annotations',
        );
      } else if (isPod) {
        const { problem, unknown } = checkInjectionAnnotations(name, value);
        if (problem !== undefined) report('IST0125', object, [...path, name], problem);
        if (unknown !== undefined) report('IST0108', object, [...path, name], unknown);
      }
    }
  }
}

/** Webhooks that ask a control plane that is not there: nothing can be created where they match. */
function checkWebhooks(model: MeshModel, report: Report): void {
  const services = new Set(model.rawOfKind('Service').map(({ metadata }) => `${metadata.namespace}/${metadata.name}`));
  if (services.size === 0) return;
  for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration']) {
    for (const configuration of model.rawOfKind(kind)) {
      if (configuration.metadata.labels?.['app.kubernetes.io/part-of'] !== 'lateen') continue;
      const webhooks = (configuration.webhooks ?? []) as readonly {
        readonly name: string;
        readonly clientConfig?: { readonly service?: { readonly name: string; readonly namespace: string } };
      }[];
      for (const [index, { name, clientConfig }] of webhooks.entries()) {
        const { service } = clientConfig ?? {};
        if (service === undefined || services.has(`${service.namespace}/${service.name}`)) continue;
        report(
          'IST0139',
          configuration,
          ['webhooks', index],
          `the webhook ${name} asks the Service ${service.namespace}/${service.name}, which is not there: install that revision again, or remove the configuration`,
        );
      }
    }
  }
}

/** Pods whose proxy is of another release than the injector gives. */
function checkImages(model: MeshModel, report: Report): void {
  const injector = model
    .rawOfKind('ConfigMap')
    .find(({ metadata }) => metadata.name === 'istio-sidecar-injector' && metadata.namespace === model.rootNamespace);
  const text = (injector?.data as Record<string, string> | undefined)?.values;
  const tag = /^\s*tag:\s*"?([^"\n]+)"?\s*$/m.exec(text ?? '')?.[1]?.trim();
  if (tag === undefined) return;
  const byNamespace = new Map<string, RawObject[]>();
  for (const pod of model.rawOfKind('Pod')) {
    const spec = (pod.spec ?? {}) as RawPodSpec;
    const proxy = [...(spec.containers ?? []), ...(spec.initContainers ?? [])].find(
      ({ name }) => name === 'istio-proxy',
    );
    const image = proxy?.image;
    if (
      image === undefined ||
      image.endsWith(`:${tag}`) ||
      pod.metadata.annotations?.['sidecar.istio.io/proxyImage'] !== undefined
    )
      continue;
    const namespace = pod.metadata.namespace ?? 'default';
    byNamespace.set(namespace, [...(byNamespace.get(namespace) ?? []), pod]);
  }
  for (const [namespace, pods] of byNamespace) {
    const object = model.namespaces.get(namespace) ?? pods[0]!;
    report(
      'IST0158',
      object,
      [],
      `proxies of ${pods.map(({ metadata }) => metadata.name).join(', ')} are of another release than ${tag}; restart them (kubectl rollout restart -n ${namespace} deployment)`,
    );
  }
}
