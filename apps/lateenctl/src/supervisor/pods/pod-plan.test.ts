// Tests of which pods a deployment has.
import { describe, expect, it } from 'vitest';
import type { KubeDeployment, KubeService } from '../../kubernetes/objects.js';
import { planPods, resolveTargetPort } from './pod-plan.js';
import { DEFAULT_PROBE } from './probe.js';

const deployment = (replicas: number, command = ['node', 'web.js']): KubeDeployment => ({
  namespace: 'default',
  name: 'web',
  labels: {},
  replicas,
  directory: '/srv',
  template: {
    labels: { app: 'web' },
    annotations: {},
    serviceAccount: 'web',
    containerName: 'web',
    command,
    env: [],
    ports: [{ port: 8080, name: 'http-web' }],
    readinessProbe: DEFAULT_PROBE,
    terminationGraceMs: 1000,
  },
});

const service = (targetPort: number | string, selector: KubeService['selector']): KubeService => ({
  namespace: 'default',
  name: 'web',
  labels: {},
  annotations: {},
  selector,
  ports: [{ name: 'http', port: 80, targetPort, appProtocol: '' }],
  headless: false,
  nodeLocal: false,
});

describe('pod plan', () => {
  it('keeps names while only the number of replicas changes', () => {
    const two = planPods(deployment(2), []);
    expect(planPods(deployment(3), []).slice(0, 2)).toEqual(
      two.map((plan) => ({ ...plan, deployment: deployment(3) })),
    );
    expect(two.map(({ name }) => name)).toEqual([two[0]!.name, two[0]!.name.replace(/0$/, '1')]);
    expect(planPods(deployment(0), [])).toEqual([]);
  });

  it('names other pods for another template', () => {
    expect(planPods(deployment(1, ['node', 'other.js']), [])[0]!.name).not.toBe(planPods(deployment(1), [])[0]!.name);
  });

  it('listens on the container ports, and on numbers that only a service knows', () => {
    const ports = planPods(deployment(1), [service(9999, { app: 'web' }), service(7777, { app: 'other' })])[0]!.ports;
    expect(ports).toEqual([
      { port: 8080, name: 'http-web' },
      { port: 9999, name: '' },
    ]);
  });

  it('resolves a named target port on the pods that the service selects', () => {
    expect(resolveTargetPort('http-web', service('http-web', { app: 'web' }), [deployment(1)])).toBe(8080);
    expect(resolveTargetPort('absent', service('absent', { app: 'web' }), [deployment(1)])).toBeUndefined();
    expect(resolveTargetPort('http-web', service('http-web', {}), [deployment(1)])).toBeUndefined();
  });
});
