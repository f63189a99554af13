// Injection: what holds for every pod: twice is once, the given pod stays, the patch leads to the injected pod, and what is
// injected keeps to the restricted Pod Security standard.
import fc from 'fast-check';
import { applyPatch } from 'rfc6902';
import { describe, expect, it } from 'vitest';
import { loadInjectionConfig } from '../config/load-config.js';
import type { Container, NamedEntry, Pod } from '../pod.js';
import { DEFAULT_MESH_SETTINGS } from '../settings/proxy-config.js';
import type { InjectionSource } from '../template/template-context.js';
import { inject } from './inject.js';

const sourceWith = (values: string, knowsNativeSidecars = true): InjectionSource => ({
  config: loadInjectionConfig({ values }),
  mesh: DEFAULT_MESH_SETTINGS,
  revision: 'default',
  version: '1.0.0',
  knowsNativeSidecars,
});
const SOURCES = [
  sourceWith('{}'),
  sourceWith('{}', false),
  sourceWith('pilot: { cni: { enabled: true } }'),
  sourceWith('global: { imagePullSecrets: [pull], proxy: { holdApplicationUntilProxyStarts: true } }', false),
];

const handler = fc.oneof(
  fc.record({
    httpGet: fc.record({ path: fc.constant('/x'), port: fc.constantFrom<number | string>(80, 'http', 'none') }),
  }),
  fc.record({
    httpGet: fc.record({ port: fc.constant(8443), scheme: fc.constant('HTTPS') }),
    timeoutSeconds: fc.nat(9),
  }),
  fc.record({ tcpSocket: fc.record({ port: fc.constantFrom<number | string>(80, 'http') }) }),
  fc.record({ grpc: fc.record({ port: fc.nat(9) }) }),
  fc.record({ exec: fc.constant({ command: ['true'] }) }),
);

const container = (name: string) =>
  fc.record(
    {
      name: fc.constant(name),
      image: fc.constant(name === 'istio-proxy' ? 'auto' : 'image'),
      ports: fc.constant([{ name: 'http', containerPort: 80 }]),
      livenessProbe: handler,
      readinessProbe: handler,
      lifecycle: fc.record({ preStop: handler }, { requiredKeys: [] }),
      env: fc.constant([{ name: 'POD_NAME', value: 'x' }]),
    },
    { requiredKeys: ['name', 'image'] },
  );

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

const annotations = fc.record(
  {
    'sidecar.istio.io/nativeSidecar': fc.constantFrom('true', 'false'),
    'sidecar.istio.io/interceptionMode': fc.constantFrom('REDIRECT', 'NONE'),
    'sidecar.istio.io/rewriteAppHTTPProbers': fc.constantFrom('true', 'false'),
    'inject.istio.io/templates': fc.constantFrom('sidecar', 'gateway', 'sidecar,gateway'),
    'prometheus.io/scrape': fc.constantFrom('true', 'false', ''),
    'prometheus.io/port': fc.constantFrom('80', '15020'),
    'prometheus.io/path': fc.constantFrom('/m', '/stats/prometheus'),
    'traffic.sidecar.istio.io/excludeInboundPorts': fc.constantFrom('', '9000', '15021'),
    'kubectl.kubernetes.io/default-container': fc.constant('b'),
    'sidecar.istio.io/userVolume': fc.constant('{"mine": {"emptyDir": {}}}'),
  },
  { requiredKeys: [] },
);

const pods = fc
  .record({
    annotations,
    a: container('a'),
    proxy: optional(container('istio-proxy')),
    b: container('b'),
    init: optional(container('init')),
    volumes: optional(fc.constant<NamedEntry[]>([{ name: 'mine', emptyDir: {} }])),
  })
  .map(
    ({ annotations, a, proxy, b, init, volumes }): Pod => ({
      metadata: { name: 'web', labels: { app: 'web' }, annotations: annotations as Record<string, string> },
      spec: {
        containers: [a, ...(proxy === undefined ? [] : [proxy]), b] as Container[],
        ...(init !== undefined && { initContainers: [{ ...init, restartPolicy: 'Always' }] as Container[] }),
        ...(volumes !== undefined && { volumes }),
      },
    }),
  );

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

describe('inject', () => {
  it('twice is once, also over what another configuration has injected', () => {
    fc.assert(
      fc.property(pods, fc.nat(SOURCES.length - 1), fc.nat(SOURCES.length - 1), (pod, a, b) => {
        const [first, second] = [SOURCES[a]!, SOURCES[b]!];
        const before = structuredClone(pod);
        const once = inject({ pod, namespace: 'shop' }, first);
        expect(pod).toEqual(before);
        const patched = structuredClone(pod);
        expect(applyPatch(patched, once.patch).every((result) => result === null)).toBe(true);
        expect(plain(patched)).toEqual(plain(once.pod));
        const twice = inject({ pod: once.pod, namespace: 'shop' }, first);
        expect(twice.patch).toEqual([]);
        const over = inject({ pod: once.pod, namespace: 'shop' }, second).pod;
        expect(plain(sortedLists(over))).toEqual(plain(sortedLists(inject({ pod, namespace: 'shop' }, second).pod)));
      }),
      { numRuns: 150 },
    );
  });

  it('stands by the restricted Pod Security standard, but for the container that writes redirect rules', () => {
    for (const source of SOURCES) {
      for (const template of ['sidecar', 'gateway']) {
        const pod: Pod = {
          metadata: { annotations: { 'inject.istio.io/templates': template } },
          spec: { containers: [] },
        };
        const { spec } = inject({ pod, namespace: 'shop' }, source).pod;
        const injected = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
        expect(injected.length).toBeGreaterThan(0);
        for (const each of injected)
          expect([each.name, restrictedBreaches(each)]).toEqual([
            each.name,
            each.name === 'istio-init' ? ['capabilities', 'root'] : [],
          ]);
        expect(spec?.hostNetwork ?? spec?.hostPID ?? spec?.hostIPC).toBeUndefined();
        expect(
          (spec?.volumes ?? [])
            .flatMap(({ name: _, ...kind }) => Object.keys(kind))
            .every((kind) => ALLOWED_VOLUMES.has(kind)),
        ).toBe(true);
      }
    }
  });
});

/** Those that were there keep their place, which another configuration may have chosen: lists are compared as sets. */
function sortedLists(pod: Pod): unknown {
  const byName = (list: readonly { name: string }[] = []) => [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
  const { spec = {} } = pod;
  const annotations = Object.fromEntries(
    Object.entries(pod.metadata?.annotations ?? {}).filter(([name]) => !WRITTEN_FOR_CNI.test(name)),
  );
  return {
    ...pod,
    metadata: { ...pod.metadata, annotations },
    spec: {
      ...spec,
      containers: byName(spec.containers),
      initContainers: byName(spec.initContainers),
      volumes: byName(spec.volumes),
    },
  };
}

/** What the CNI plugin was told stays for it; that it says the same is what the other comparison shows. */
const WRITTEN_FOR_CNI = /^traffic\.sidecar\.istio\.io\/|^sidecar\.istio\.io\/interceptionMode$/;
const ALLOWED_VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

/** https://kubernetes.io/docs/concepts/security/pod-security-standards/ (restricted). */
function restrictedBreaches({ securityContext = {} }: Container): string[] {
  const { capabilities, allowPrivilegeEscalation, runAsNonRoot, runAsUser, seccompProfile, privileged } =
    securityContext;
  const { add = [], drop = [] } = (capabilities ?? {}) as { add?: string[]; drop?: string[] };
  const breaches = [
    ['capabilities', add.some((each) => each !== 'NET_BIND_SERVICE') || !drop.includes('ALL')],
    ['escalation', allowPrivilegeEscalation !== false || privileged === true],
    ['root', runAsNonRoot !== true || runAsUser === 0],
    ['seccomp', (seccompProfile as { type?: string } | undefined)?.type !== 'RuntimeDefault'],
  ] as const;
  return breaches.filter(([, broken]) => broken).map(([name]) => name);
}
