// Tests of get: the names by which pods are found.
import { expect, it } from 'vitest';
import { podsNamed } from './get.js';

const pod = (name: string, deployment: string) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace: 'default' },
  spec: {},
  row: {
    ...{ name, deployment, namespace: 'default', serviceAccount: 'a', labels: {}, createdAt: '' },
    ...{ address: '127.0.0.1', ready: true, gateway: false },
  },
});

it('finds pods by their own name, with the namespace, and by their deployment', () => {
  const pods = [pod('web-v1-0', 'web-v1'), pod('web-v1-1', 'web-v1'), pod('db-0', 'db')];
  const names = (text: string) => podsNamed(pods, text).map(({ metadata }) => metadata.name);
  expect(names('web-v1')).toEqual(['web-v1-0', 'web-v1-1']);
  expect(names('deployment/db')).toEqual(['db-0']);
  expect(names('web-v1-1')).toEqual(['web-v1-1']);
  expect(names('db-0.default')).toEqual(['db-0']);
  expect(names('web')).toEqual([]);
});
