// Variables of the proxy become metadata of its node, and never take the place of who it is.

import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { buildBootstrap } from './proxy-bootstrap.js';

test('variables that begin with ISTIO_META_ are told to Pilot', () => {
  const text = buildBootstrap({
    node: {
      podName: 'web-0',
      namespace: 'shop',
      workloadName: 'web',
      serviceAccount: 'web',
      labels: {},
      annotations: {},
      address: '127.1.1.1',
      gateway: false,
    },
    pilotAddress: '127.1.0.3',
    pilotPort: 15012,
    trustDomain: 'cluster.local',
    version: '1.0',
    environment: {
      ISTIO_META_SHELF: 'top',
      ISTIO_META_NAMESPACE: 'other',
      ISTIO_META_SERVICE_ACCOUNT: 'admin',
      PLAIN: '1',
    },
  });
  const { metadata } = (parse(text) as { node: { metadata: Record<string, unknown> } }).node;
  expect(metadata).toMatchObject({ SHELF: 'top', NAMESPACE: 'shop', SERVICE_ACCOUNT: 'web' });
  expect(metadata).not.toHaveProperty('PLAIN');
});
