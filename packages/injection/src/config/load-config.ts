// Configuration: read, and its templates tried on pods of every form, so that a bad one is refused when it is written and
// not when the next pod starts.

import { inject } from '../inject/inject.js';
import type { Pod } from '../pod.js';
import { InjectionError } from '../problems.js';
import { DEFAULT_MESH_SETTINGS } from '../settings/proxy-config.js';
import type { InjectionSource } from '../template/template-context.js';
import { type InjectionConfig, type InjectionConfigTexts, readInjectionConfig } from './injection-config.js';

/** Of every name, since templates may be alone or over one another. */
function samplePods(config: InjectionConfig): Pod[] {
  const names = [...Object.keys(config.templates), ...Object.keys(config.aliases)];
  const metadata = (templates: string | undefined) => ({
    name: 'sample',
    namespace: 'sample',
    labels: { app: 'sample' },
    ...(templates !== undefined && { annotations: { 'inject.istio.io/templates': templates } }),
  });
  const pod = (templates: string | undefined): Pod => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: metadata(templates),
    spec: { containers: [{ name: 'app', image: 'app', ports: [{ containerPort: 8080 }] }] },
  });
  return [pod(undefined), ...names.map(pod)];
}

/** @throws InjectionError with everything that is wrong, each with its place */
export function loadInjectionConfig(texts: InjectionConfigTexts): InjectionConfig {
  const config = readInjectionConfig(texts);
  const problems = new Set<string>();
  for (const knowsNativeSidecars of [true, false]) {
    const source: InjectionSource = {
      config,
      mesh: DEFAULT_MESH_SETTINGS,
      revision: 'default',
      version: 'sample',
      knowsNativeSidecars,
    };
    for (const pod of samplePods(config)) tryOut({ pod, namespace: 'sample' }, source, problems);
  }
  if (problems.size > 0) throw new InjectionError([...problems]);
  return config;
}

function tryOut(target: { pod: Pod; namespace: string }, source: InjectionSource, problems: Set<string>): void {
  try {
    inject(target, source);
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    for (const problem of error.problems) problems.add(`config: ${problem}`);
  }
}
