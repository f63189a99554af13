// Kubernetes: the pods of a headless service are called by name, those of another service are not.

import { expect, test } from 'vitest';
import { calledServices } from './called-services.js';
import { type KubeService, serviceHost } from './objects.js';

const service = (name: string, headless: boolean): KubeService => ({
  namespace: 'default',
  name,
  labels: {},
  annotations: {},
  selector: { app: 'web' },
  ports: [],
  headless,
  nodeLocal: false,
});
const pod = (name: string, app: string, namespace = 'default') => ({ name, namespace, labels: { app } });

test('each selected pod of a headless service is a service of its own, once', () => {
  const pods = [
    pod('web-1', 'web'),
    pod('web-0', 'web'),
    pod('web-0', 'web'),
    pod('db-0', 'db'),
    pod('web-2', 'web', 'other'),
  ];
  const called = calledServices([service('plain', false), service('web', true)], pods);
  expect(called.map(serviceHost)).toEqual([
    'plain.default.svc.cluster.local',
    'web.default.svc.cluster.local',
    'web-0.web.default.svc.cluster.local',
    'web-1.web.default.svc.cluster.local',
  ]);
});
