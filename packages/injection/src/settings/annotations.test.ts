// Annotations: each one that is known changes what it says, is refused where its value is wrong, and stands in the documentation.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadInjectionConfig } from '../config/load-config.js';
import { inject } from '../inject/inject.js';
import type { Pod } from '../pod.js';
import { InjectionError } from '../problems.js';
import type { InjectionSource } from '../template/template-context.js';
import { KNOWN_ANNOTATIONS } from './annotations.js';
import { DEFAULT_MESH_SETTINGS } from './proxy-config.js';

const SOURCE: InjectionSource = {
  config: loadInjectionConfig({}),
  mesh: DEFAULT_MESH_SETTINGS,
  revision: 'default',
  version: '1.0.0',
  knowsNativeSidecars: true,
};

function podOf(annotations: Record<string, string>): Pod {
  const container = { name: 'web', image: 'web:1', livenessProbe: { tcpSocket: { port: 8080 } } };
  return { metadata: { name: 'web', annotations }, spec: { containers: [container] } };
}

/** Without the annotations, which would hold the value in any case. */
function injectedText(annotations: Record<string, string>): string {
  return JSON.stringify(inject({ pod: podOf(annotations), namespace: 'shop' }, SOURCE).pod.spec);
}

/** A value, a part of what it leads to that is not there without it, and a value that is refused. */
const EFFECTS: Readonly<Record<string, readonly [value: string, part: string, refused?: string]>> = {
  'inject.istio.io/templates': ['gateway', '"router"', 'nothing'],
  'proxy.istio.io/config': ['concurrency: 3', '\\"concurrency\\":3', 'concurrency: many'],
  'readiness.status.sidecar.istio.io/failureThreshold': ['77', '"failureThreshold":77', 'x'],
  'readiness.status.sidecar.istio.io/initialDelaySeconds': ['77', '"initialDelaySeconds":77', '-1'],
  'readiness.status.sidecar.istio.io/periodSeconds': ['77', '"periodSeconds":77', '1s'],
  'sidecar.istio.io/interceptionMode': ['NONE', '"value":"NONE"', 'TPROXY'],
  'sidecar.istio.io/logLevel': ['critical', '"fatal"', 'loud'],
  'sidecar.istio.io/proxyCPU': ['77m', '"requests":{"cpu":"77m"}', 'lots'],
  'sidecar.istio.io/proxyCPULimit': ['77', '"limits":{"cpu":"77"}', 'lots'],
  'sidecar.istio.io/proxyImage': ['my/proxy:1', '"image":"my/proxy:1"'],
  'sidecar.istio.io/proxyMemory': ['77Mi', '"requests":{"memory":"77Mi"}', '77MB'],
  'sidecar.istio.io/proxyMemoryLimit': ['77Gi', '"limits":{"memory":"77Gi"}', '77MB'],
  'sidecar.istio.io/rewriteAppHTTPProbers': ['false', '"livenessProbe":{"tcpSocket"', 'perhaps'],
  'sidecar.istio.io/userVolume': ['{"mine":{"emptyDir":{}}}', '{"name":"mine","emptyDir":{}}', '{'],
  'sidecar.istio.io/userVolumeMount': ['[{"name":"mine","mountPath":"/mine"}]', '"mountPath":"/mine"', '"mine"'],
  'traffic.sidecar.istio.io/excludeInboundPorts': ['77', '15020,77', '70000'],
  'traffic.sidecar.istio.io/excludeInterfaces': ['eth7', '"-c","eth7"'],
  'traffic.sidecar.istio.io/excludeOutboundIPRanges': ['10.7.0.0/16', '"-x","10.7.0.0/16"', '10.7.0.0'],
  'traffic.sidecar.istio.io/excludeOutboundPorts': ['77', '"-o","77"', 'smtp'],
  'traffic.sidecar.istio.io/includeInboundPorts': ['77', '"-b","77"', '*,1'],
  'traffic.sidecar.istio.io/includeOutboundIPRanges': ['10.7.0.0/16,fd00::/8', '"-i","10.7.0.0/16,fd00::/8"', 'all'],
  'traffic.sidecar.istio.io/includeOutboundPorts': ['77', '"-q","77"', '0'],
};

/** Their effects are tested where they are decided: in decide/, inject/ and the cases. */
const ELSEWHERE = [
  'prometheus.istio.io/merge-metrics',
  'proxy.istio.io/overrides',
  'sidecar.istio.io/inject',
  'sidecar.istio.io/nativeSidecar',
  'sidecar.istio.io/status',
];

describe('annotations of pods', () => {
  for (const [name, [value, part, refused]] of Object.entries(EFFECTS)) {
    it(name, () => {
      expect(injectedText({ [name]: value })).toContain(part);
      expect(injectedText({})).not.toContain(part);
      if (refused !== undefined) expect(() => injectedText({ [name]: refused })).toThrow(InjectionError);
    });
  }

  it('nativeSidecar and merge-metrics', () => {
    const { pod } = inject({ pod: podOf({ 'sidecar.istio.io/nativeSidecar': 'false' }), namespace: 'shop' }, SOURCE);
    expect(pod.spec?.containers?.map(({ name }) => name)).toEqual(['web', 'istio-proxy']);
    const unmerged = inject(
      { pod: podOf({ 'prometheus.istio.io/merge-metrics': 'false' }), namespace: 'shop' },
      SOURCE,
    );
    expect(unmerged.pod.metadata?.annotations).not.toHaveProperty(['prometheus.io/port']);
  });

  it('there are no others, and each is documented', () => {
    expect([...Object.keys(EFFECTS), ...ELSEWHERE].sort()).toEqual([...KNOWN_ANNOTATIONS].sort());
    const page = readFileSync(new URL('../../../../docs/injection.md', import.meta.url), 'utf8');
    // The page names the prefix once for several.
    for (const name of KNOWN_ANNOTATIONS) {
      const [prefix = '', last] = name.split('/');
      expect(page).toContain(prefix);
      expect(page).toMatch(new RegExp(`[\`/]${last}[\`:]`));
    }
  });
});
