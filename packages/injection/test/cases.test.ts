// Cases: a folder each, with a pod, what the mesh says, and why; what becomes of the pod is compared with `out.yaml`, which
// UPDATE_GOLDEN=1 writes. Each injected pod is also injected again, and its patch is applied.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { applyPatch } from 'rfc6902';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import {
  type AdmissionReview,
  defaultConfigTexts,
  type InjectionSource,
  inject,
  loadInjectionConfig,
  type Pod,
  reviewPod,
} from '../src/index.js';

const folder = join(dirname(fileURLToPath(import.meta.url)), 'cases');

interface Case {
  readonly why: string;
  readonly pod: Pod;
  readonly revision?: string;
  readonly nativeSidecars?: boolean;
  readonly mesh?: InjectionSource['mesh']['meshConfig'];
  readonly values?: object;
  readonly config?: { readonly templates?: object; readonly addDefaultTemplates?: boolean };
}

function sourceOf({ config, values, mesh, revision, nativeSidecars }: Case): InjectionSource {
  const { addDefaultTemplates, ...own } = config ?? {};
  const defaults = parse(defaultConfigTexts().config) as { templates: object };
  const merged = { ...defaults, ...own, templates: { ...defaults.templates, ...own.templates } };
  const texts = {
    config: addDefaultTemplates ? stringify(merged) : undefined,
    values: values && stringify(values),
  };
  return {
    config: loadInjectionConfig(texts),
    mesh: { meshConfig: mesh ?? {}, proxyConfigs: [], rootNamespace: 'istio-system' },
    revision: revision ?? 'default',
    version: '1.0.0',
    knowsNativeSidecars: nativeSidecars ?? true,
  };
}

const reviewOf = (pod: Pod): AdmissionReview => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u', namespace: 'shop', resource: { group: '', version: 'v1', resource: 'pods' }, object: pod },
});

describe('cases of injection', () => {
  for (const name of readdirSync(folder).sort()) {
    const given = parse(readFileSync(join(folder, name, 'in.yaml'), 'utf8')) as Case;
    it(`${name}: ${given.why}`, () => {
      const source = sourceOf(given);
      const { outcome, reason, answer } = reviewPod(reviewOf(given.pod), source);
      const { allowed, patch, warnings } = answer.response;
      const pod = structuredClone(given.pod);
      if (patch !== undefined) {
        const operations = JSON.parse(Buffer.from(patch, 'base64').toString()) as Parameters<typeof applyPatch>[1];
        expect(applyPatch(pod, operations).filter((result) => result !== null)).toEqual([]);
        expect(inject({ pod, namespace: 'shop' }, source).pod).toEqual(pod);
        expect(reviewPod(reviewOf(pod), source).answer.response.patch).toBeUndefined();
      }
      const result = { outcome, allowed, reason, ...(warnings && { warnings }), ...(patch !== undefined && { pod }) };
      const text = stringify(result, { aliasDuplicateObjects: false, lineWidth: 0 });
      const golden = join(folder, name, 'out.yaml');
      if (process.env.UPDATE_GOLDEN === '1') writeFileSync(golden, text);
      expect(existsSync(golden), `${golden} is missing: UPDATE_GOLDEN=1 writes it`).toBe(true);
      expect(result).toEqual(parse(readFileSync(golden, 'utf8')));
    });
  }
});
