// Decisions: what the labels of namespaces and pods, revisions and tags come to, as Istio's webhooks have it.
import { describe, expect, it } from 'vitest';
import type { Namespace, Pod } from '../pod.js';
import { type DecisionSource, decideInjection } from './decide-injection.js';
import { injectionWebhooks } from './webhooks.js';

type Labels = Record<string, string>;

const ENABLED = { policy: 'enabled', neverInjectSelector: [], alwaysInjectSelector: [] } as const;
const MESH: DecisionSource = {
  webhooks: [
    injectionWebhooks(),
    injectionWebhooks({ revision: 'canary' }),
    injectionWebhooks({ revision: 'canary', tag: 'next' }),
  ],
  rulesOf: () => ENABLED,
};
const NO_DEFAULT: DecisionSource = { ...MESH, webhooks: [injectionWebhooks({ revision: 'canary' })] };
const BY_DEFAULT: DecisionSource = { ...MESH, webhooks: [injectionWebhooks({ enableNamespacesByDefault: true })] };

const namespace = (labels: Labels, name = 'shop'): Namespace => ({ name, labels });
const pod = (labels: Labels = {}, more: Partial<Pod> = {}): Pod => ({
  metadata: { name: 'web', labels },
  spec: { containers: [{ name: 'web' }] },
  ...more,
});

const INJECT = 'sidecar.istio.io/inject';
const REV = 'istio.io/rev';
const ON = { 'istio-injection': 'enabled' };
const OFF = { 'istio-injection': 'disabled' };

interface Row {
  readonly why: string;
  readonly ns: Labels;
  readonly labels?: Labels;
  readonly injected: boolean;
  readonly code: string;
  readonly revision?: string;
  readonly mesh?: DecisionSource;
}

const ROWS: readonly Row[] = [
  { why: 'a labelled namespace', ns: ON, injected: true, code: 'namespace-label', revision: 'default' },
  { why: 'its pod opts out', ns: ON, labels: { [INJECT]: 'false' }, injected: false, code: 'pod-opted-out' },
  { why: 'its pod says yes too', ns: ON, labels: { [INJECT]: 'true' }, injected: true, code: 'pod-label' },
  { why: 'a word that is no word', ns: ON, labels: { [INJECT]: 'maybe' }, injected: false, code: 'invalid-value' },
  { why: 'nobody says anything', ns: {}, injected: false, code: 'nothing-says-so' },
  {
    why: 'only the pod says yes',
    ns: {},
    labels: { [INJECT]: 'true' },
    injected: true,
    code: 'pod-label',
    revision: 'default',
  },
  {
    why: 'only "true" makes the API server ask',
    ns: {},
    labels: { [INJECT]: 'yes' },
    injected: false,
    code: 'invalid-value',
  },
  {
    why: 'a namespace that refuses stands above its pod',
    ns: OFF,
    labels: { [INJECT]: 'true' },
    injected: false,
    code: 'namespace-disabled',
  },
  {
    why: 'a namespace that refuses stands above its pod’s revision',
    ns: OFF,
    labels: { [REV]: 'canary' },
    injected: false,
    code: 'namespace-disabled',
  },
  {
    why: 'a namespace’s word that is no word',
    ns: { 'istio-injection': 'on' },
    injected: false,
    code: 'invalid-value',
  },
  {
    why: 'a namespace of a revision',
    ns: { [REV]: 'canary' },
    injected: true,
    code: 'namespace-revision',
    revision: 'canary',
  },
  {
    why: 'its pod opts out of the revision',
    ns: { [REV]: 'canary' },
    labels: { [INJECT]: 'false' },
    injected: false,
    code: 'pod-opted-out',
  },
  {
    why: 'the revision named default',
    ns: { [REV]: 'default' },
    injected: true,
    code: 'namespace-revision',
    revision: 'default',
  },
  {
    why: 'a namespace of a tag goes to what the tag means',
    ns: { [REV]: 'next' },
    injected: true,
    code: 'namespace-revision',
    revision: 'canary',
  },
  { why: 'a revision that is not there', ns: { [REV]: 'old' }, injected: false, code: 'unknown-revision' },
  {
    why: 'istio-injection stands above istio.io/rev',
    ns: { ...ON, [REV]: 'canary' },
    injected: true,
    code: 'namespace-label',
    revision: 'default',
  },
  {
    why: 'a pod of a revision',
    ns: {},
    labels: { [REV]: 'canary' },
    injected: true,
    code: 'pod-revision',
    revision: 'canary',
  },
  {
    why: 'a pod of a revision that opts out',
    ns: {},
    labels: { [REV]: 'canary', [INJECT]: 'false' },
    injected: false,
    code: 'pod-opted-out',
  },
  {
    why: 'a pod of a revision that is not there',
    ns: {},
    labels: { [REV]: 'old', [INJECT]: 'true' },
    injected: false,
    code: 'unknown-revision',
  },
  {
    why: 'the namespace’s revision stands above the pod’s',
    ns: { [REV]: 'canary' },
    labels: { [REV]: 'default' },
    injected: true,
    code: 'namespace-revision',
    revision: 'canary',
  },
  {
    why: 'a labelled namespace and no default revision',
    ns: ON,
    injected: false,
    code: 'unknown-revision',
    mesh: NO_DEFAULT,
  },
  {
    why: 'a pod that says yes and no default revision',
    ns: {},
    labels: { [INJECT]: 'true' },
    injected: false,
    code: 'unknown-revision',
    mesh: NO_DEFAULT,
  },
  { why: 'a mesh that injects by default', ns: {}, injected: true, code: 'by-default', mesh: BY_DEFAULT },
  {
    why: 'a pod that opts out of a mesh that injects by default',
    ns: {},
    labels: { [INJECT]: 'false' },
    injected: false,
    code: 'pod-opted-out',
    mesh: BY_DEFAULT,
  },
  {
    why: 'a namespace that refuses a mesh that injects by default',
    ns: OFF,
    injected: false,
    code: 'namespace-disabled',
    mesh: BY_DEFAULT,
  },
];

describe('decideInjection', () => {
  for (const { why, ns, labels, mesh, ...expected } of ROWS) {
    it(why, () => expect(decideInjection(pod(labels), namespace(ns), mesh ?? MESH)).toMatchObject(expected));
  }

  it('refuses the network of the node, whatever labels say', () => {
    const decision = decideInjection(pod({}, { spec: { hostNetwork: true } }), namespace(ON), MESH);
    expect(decision).toMatchObject({ injected: false, code: 'host-network' });
    expect(decision.reason).toContain('hostNetwork');
  });

  it("leaves Kubernetes' own namespaces alone", () => {
    for (const name of ['kube-system', 'kube-public', 'kube-node-lease', 'local-path-storage']) {
      expect(decideInjection(pod(), namespace(ON, name), MESH)).toMatchObject({ code: 'ignored-namespace' });
      expect(decideInjection(pod(), namespace({}, name), BY_DEFAULT)).toMatchObject({ code: 'ignored-namespace' });
    }
  });

  it('says what to do where nobody says anything, and that an annotation is not enough', () => {
    expect(decideInjection(pod(), namespace({}), MESH).reason).toContain(
      'kubectl label namespace shop istio-injection=enabled',
    );
    const annotated = pod({}, { metadata: { annotations: { [INJECT]: 'true' } } });
    expect(decideInjection(annotated, namespace({}), MESH).reason).toContain('make it a label');
    expect(decideInjection(pod(), namespace({}), { ...MESH, webhooks: [] }).injected).toBe(false);
  });

  it('takes the annotation where the namespace makes the API server ask; the label stands above it', () => {
    const out = pod({}, { metadata: { annotations: { [INJECT]: 'false' } } });
    expect(decideInjection(out, namespace(ON), MESH)).toMatchObject({ injected: false, code: 'pod-opted-out' });
    const both = pod({}, { metadata: { labels: { [INJECT]: 'true' }, annotations: { [INJECT]: 'false' } } });
    expect(decideInjection(both, namespace(ON), MESH)).toMatchObject({ injected: true, code: 'pod-label' });
  });

  it('asks selectors before the policy, the one that refuses first', () => {
    const app = [{ matchLabels: { app: 'web' } }];
    const decide = (rules: object, labels: Labels = { app: 'web' }) =>
      decideInjection(pod(labels), namespace(ON), { ...MESH, rulesOf: () => ({ ...ENABLED, ...rules }) });
    expect(decide({ neverInjectSelector: app, alwaysInjectSelector: app }).code).toBe('never-selector');
    expect(decide({ policy: 'disabled', alwaysInjectSelector: app }).code).toBe('always-selector');
    expect(decide({ policy: 'disabled' }).code).toBe('policy-disabled');
    expect(decide({ neverInjectSelector: app }, { app: 'web', [INJECT]: 'true' }).code).toBe('pod-label');
    expect(decide({ neverInjectSelector: [{}] }).injected).toBe(true);
  });

  it('says where two revisions want the same pod', () => {
    const twice = {
      ...MESH,
      webhooks: [injectionWebhooks(), injectionWebhooks({ revision: 'canary', tag: 'default' })],
    };
    expect(decideInjection(pod(), namespace(ON), twice).reason).toContain('default match too');
  });
});
