// Injection: a pod → the pod with its proxy, in this order: what was injected before is taken out, annotations are checked,
// templates rendered and merged, the user's own containers laid over, probes and metrics led through the proxy, containers
// put in order, and what was done is written down.

import { createPatch, type Operation } from 'rfc6902';
import { isObject, type JsonObject } from '../config/deep-merge.js';
import type { InjectionConfig } from '../config/injection-config.js';
import { strategicMerge } from '../merge/strategic-merge.js';
import {
  annotationsOf,
  type Container,
  OVERRIDES_ANNOTATION,
  type Pod,
  PROXY_UID,
  STATUS_ANNOTATION,
  TEMPLATES_ANNOTATION,
} from '../pod.js';
import { InjectionError } from '../problems.js';
import { checkAnnotations } from '../settings/annotations.js';
import { renderTemplate } from '../template/render-template.js';
import {
  type InjectionSource,
  type InjectionTarget,
  type TemplateContext,
  templateContext,
} from '../template/template-context.js';
import { orderContainers } from './order.js';
import { applyOverride, findOverrides, formatOverrides, refuseAutoImages } from './overrides.js';
import { rewriteProbes } from './probers.js';
import { restorePod } from './restore.js';
import { mergeScraping } from './scraping.js';
import type { InjectionStatus, STATUS_LISTS } from './status.js';

export interface Injection {
  readonly pod: Pod;
  /** From the pod that was given to the injected one (RFC 6902). */
  readonly patch: Operation[];
  readonly templates: readonly string[];
  readonly warnings: readonly string[];
}

const CONTAINER_LISTS = ['initContainers', 'containers'] as const;

/** Pure: the pod that was given is not changed. @throws InjectionError with everything that is wrong */
export function inject(target: InjectionTarget, source: InjectionSource): Injection {
  const before = restorePod(target.pod);
  const { problems, warnings } = checkAnnotations(annotationsOf(before));
  if (problems.length > 0) throw new InjectionError(problems);
  const names = templateNames(before, source.config);
  const context = templateContext({ ...target, pod: before }, source);
  const rendered = names.map((name) => renderTemplate(name, source.config.templates[name]!, context));
  const pod = mergeTemplates(before, rendered, source.config.injectedAnnotations);
  refuseAutoImages(pod);
  mergeScraping(pod, source.mesh.meshConfig);
  const probes = isRewriteWanted(before, context) ? rewriteProbes(pod) : [];
  orderContainers(pod, context.proxy.hold);
  writeDown(pod, before, rendered, source.revision);
  return {
    pod,
    patch: createPatch(target.pod, pod),
    templates: names,
    warnings: [...warnings, ...probes, ...sharedUser(before)],
  };
}

/** What the pod asks for, else the default, with other names resolved. @throws InjectionError */
function templateNames(pod: Pod, config: InjectionConfig): string[] {
  const asked = annotationsOf(pod)[TEMPLATES_ANNOTATION];
  const wanted = asked?.split(',').map((each) => each.trim()) ?? config.defaultTemplates;
  const names = wanted.filter((each) => each !== '').flatMap((name) => config.aliases[name] ?? [name]);
  const known = Object.keys(config.templates);
  const unknown = names.filter((name) => !known.includes(name));
  if (unknown.length === 0) return names;
  const listed = [...known, ...Object.keys(config.aliases)].join(', ');
  throw new InjectionError([
    `annotation ${TEMPLATES_ANNOTATION}: there is no template ${unknown.join(', ')}; there are: ${listed}`,
  ]);
}

/** Fields merge over the pod; containers merge with one another first, and the user's own of a name stand above them. */
function mergeTemplates(
  before: Pod,
  rendered: readonly JsonObject[],
  injectedAnnotations: Readonly<Record<string, string>>,
): Pod {
  const added = { metadata: { annotations: injectedAnnotations } };
  const merged = [...rendered.map(withoutContainers), added].reduce<JsonObject>(strategicMerge, before as JsonObject);
  const containers = rendered.reduce<JsonObject>((all, each) => strategicMerge(all, specOf(each)), {});
  const pod = structuredClone(merged) as Pod;
  const spec = pod.spec ?? {};
  pod.spec = spec;
  const templated = CONTAINER_LISTS.map((list) => [list, (containers[list] ?? []) as Container[]] as const);
  for (const [list, additions] of templated) {
    const result = [...(spec[list] ?? [])];
    for (const addition of additions) {
      const place = result.findIndex(({ name }) => name === addition.name);
      const own = result[place] ?? takeFromOtherList(pod, list, addition.name);
      const container = own === undefined ? addition : applyOverride(addition, own);
      if (place === -1) result.push(container);
      else result[place] = container;
    }
    if (result.length > 0) spec[list] = structuredClone(result);
  }
  return pod;
}

function specOf({ spec }: JsonObject): JsonObject {
  if (!isObject(spec)) return {};
  return Object.fromEntries(
    CONTAINER_LISTS.filter((list) => isObject(spec) && Array.isArray(spec[list])).map((list) => [list, spec[list]]),
  );
}

function withoutContainers(rendered: JsonObject): JsonObject {
  if (!isObject(rendered.spec)) return rendered;
  const { containers: _containers, initContainers: _initContainers, ...spec } = rendered.spec;
  return { ...rendered, spec };
}

/** A native proxy stands among the init containers, also where its user's part stands among the containers. */
function takeFromOtherList(
  { spec }: Pod,
  list: (typeof CONTAINER_LISTS)[number],
  wanted: string,
): Container | undefined {
  const other = list === 'containers' ? 'initContainers' : 'containers';
  const own = spec?.[other]?.find(({ name }) => name === wanted);
  if (spec !== undefined && own !== undefined) spec[other] = spec[other]?.filter((each) => each !== own);
  return own;
}

function isRewriteWanted(pod: Pod, { values }: TemplateContext): boolean {
  const own = annotationsOf(pod)['sidecar.istio.io/rewriteAppHTTPProbers'];
  return own === undefined ? values.sidecarInjectorWebhook.rewriteAppHTTPProbe : own.toLowerCase() === 'true';
}

/** Names of what came from templates; of volumes and secrets only those that the user has not. */
function writeDown(pod: Pod, before: Pod, rendered: readonly JsonObject[], revision: string): void {
  const names = (spec: unknown, list: string): string[] => {
    const value = isObject(spec) ? spec[list] : undefined;
    return Array.isArray(value) ? value.map((each: { name: string }) => each.name) : [];
  };
  const injected = (list: (typeof STATUS_LISTS)[number]) => [
    ...new Set(rendered.flatMap(({ spec }) => names(spec, list))),
  ];
  const fresh = (list: 'volumes' | 'imagePullSecrets') =>
    injected(list).filter((name) => !names(before.spec, list).includes(name));
  const status: InjectionStatus = {
    initContainers: injected('initContainers'),
    containers: injected('containers'),
    volumes: fresh('volumes'),
    imagePullSecrets: fresh('imagePullSecrets'),
    revision,
  };
  const overrides = formatOverrides(findOverrides(before, new Set([...status.initContainers, ...status.containers])));
  pod.metadata = {
    ...pod.metadata,
    annotations: {
      ...annotationsOf(pod),
      [STATUS_ANNOTATION]: JSON.stringify(status),
      ...(overrides !== undefined && { [OVERRIDES_ANNOTATION]: overrides }),
    },
  };
}

/** Redirect rules let everything of the proxy's user pass, so an application that runs as the same is not in the mesh. */
function sharedUser({ spec }: Pod): string[] {
  const general = spec?.securityContext?.runAsUser;
  return (spec?.containers ?? [])
    .filter(
      ({ name, securityContext }) => name !== 'istio-proxy' && (securityContext?.runAsUser ?? general) === PROXY_UID,
    )
    .map(
      ({ name }) =>
        `container ${name} runs as user ${PROXY_UID}, which is the proxy's: its traffic passes by the mesh; choose another user`,
    );
}
