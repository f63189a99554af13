// Which pods the CNI plugin redirects, and which pods the installer mends.
import { SettingsError } from '@lateen/interception';
import type { Pod } from '@lateen/kubernetes';
import { describe, expect, test } from 'vitest';
import { decidePod } from './pod-decision.js';
import { isWithoutRules } from './repair.js';

type Change = (
  pod: Pod & { metadata: { labels: Record<string, string>; annotations: Record<string, string> } },
) => unknown;

/** An injected pod, changed. */
function pod(change: Change = () => {}): Pod {
  const made = {
    metadata: {
      namespace: 'shop',
      name: 'reviews',
      labels: {} as Record<string, string>,
      annotations: { 'sidecar.istio.io/status': '{}' } as Record<string, string>,
    },
    spec: {
      initContainers: [
        { name: 'istio-validation' },
        { name: 'istio-proxy', args: ['lateen-sidecar', '--pod', 'sidecar'] },
      ],
      containers: [{ name: 'app' }],
    },
  };
  change(made as never);
  return made as Pod;
}
const proxyOf = (made: Pod) => made.spec!.initContainers![1] as unknown as Record<string, unknown>;

describe('a pod', () => {
  test('that is injected is redirected, with the settings of injection', () => {
    const decision = decidePod(pod(), [4]);
    expect(decision).toMatchObject({
      kind: 'redirect',
      interception: { inboundPorts: 'all', outboundRanges: 'all', proxyUids: [1337], dns: undefined, families: [4] },
    });
  });

  test('is redirected as its annotations, and the user and variables of its proxy say', () => {
    const made = pod(({ metadata }) => {
      metadata.annotations['traffic.sidecar.istio.io/includeInboundPorts'] = '8080';
    });
    proxyOf(made).securityContext = { runAsUser: 2000, runAsGroup: 2001 };
    proxyOf(made).env = [{ name: 'ISTIO_META_DNS_CAPTURE', value: 'true' }];
    expect(decidePod(made, [4, 6])).toMatchObject({
      interception: {
        inboundPorts: [8080],
        proxyUids: [2000],
        proxyGids: [2001],
        dns: { servers: 'all' },
        families: [4, 6],
      },
    });
  });

  test.each<[string, Change]>([
    ['it has the network of its node', (made) => Object.assign(made.spec!, { hostNetwork: true })],
    [
      'its container istio-init writes the rules itself',
      (made) => Object.assign(made.spec!.initContainers![0]!, { name: 'istio-init' }),
    ],
    ['it has no container istio-proxy', (made) => Object.assign(made.spec!, { initContainers: [] })],
    ['its proxy is a gateway', (made) => Object.assign(proxyOf(made), { args: ['lateen-sidecar', '--pod', 'router'] })],
    [
      'sidecar.istio.io/inject is false',
      ({ metadata }) => Object.assign(metadata.labels, { 'sidecar.istio.io/inject': 'false' }),
    ],
    [
      'it is not injected: it has no annotation sidecar.istio.io/status',
      ({ metadata }) => delete metadata.annotations['sidecar.istio.io/status'],
    ],
    [
      'its interception mode is NONE',
      ({ metadata }) => Object.assign(metadata.annotations, { 'sidecar.istio.io/interceptionMode': 'NONE' }),
    ],
  ])('is left alone: %s', (reason, change) => {
    expect(decidePod(pod(change), [4])).toEqual({ kind: 'leave', reason });
  });

  test('whose label says otherwise than its annotation goes by the label', () => {
    const made = pod(({ metadata }) => {
      metadata.annotations['sidecar.istio.io/inject'] = 'false';
      metadata.labels['sidecar.istio.io/inject'] = 'true';
    });
    expect(decidePod(made, [4]).kind).toBe('redirect');
  });

  test('with a wrong annotation is refused by its name', () => {
    const made = pod(({ metadata }) => {
      metadata.annotations['traffic.sidecar.istio.io/excludeOutboundPorts'] = 'https';
    });
    expect(() => decidePod(made, [4])).toThrow(SettingsError);
    expect(() => decidePod(made, [4])).toThrow(
      'annotation traffic.sidecar.istio.io/excludeOutboundPorts: "https" is not a port',
    );
  });
});

describe('a pod without rules', () => {
  const withStatus = (status: object) => ({ ...pod(), status: { initContainerStatuses: [status] } }) as Pod;
  const of = (exitCode: number) => ({ terminated: { exitCode } });

  test.each<[boolean, object]>([
    [true, { name: 'istio-validation', state: of(126) }],
    [true, { name: 'istio-validation', state: { waiting: {} }, lastState: of(126) }],
    [false, { name: 'istio-validation', state: of(0), lastState: of(126) }],
    [false, { name: 'istio-validation', state: of(1) }],
    [false, { name: 'migrate', state: of(126) }],
  ])('is told by its validation: %s for %j', (expected, status) => {
    expect(isWithoutRules(withStatus(status))).toBe(expected);
  });

  test('is none of ours without the annotation of injection, or where it is going', () => {
    const failed = withStatus({ name: 'istio-validation', state: of(126) });
    expect(isWithoutRules({ ...failed, metadata: { name: 'other' } })).toBe(false);
    expect(isWithoutRules({ ...failed, metadata: { ...failed.metadata, deletionTimestamp: 'now' } })).toBe(false);
  });
});
