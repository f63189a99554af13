// Tests of a pod's hosts file: the names that a cluster's DNS would know, at the pod's own addresses.
import { describe, expect, it } from 'vitest';
import type { KubeService } from '../../kubernetes/objects.js';
import { hostsFileText } from './hosts-file.js';

const service = (namespace: string, name: string): KubeService => ({
  namespace,
  name,
  labels: {},
  annotations: {},
  selector: {},
  ports: [],
  headless: false,
  nodeLocal: false,
});

describe('hosts file', () => {
  it('has short names for services of the own namespace only, and the hosts of ServiceEntries but wildcards', () => {
    const text = hostsFileText({
      namespace: 'default',
      services: [service('default', 'reviews'), service('shop', 'cart')],
      entryHosts: ['httpbin.example', '*.wild.example'].map((host) => ({ host, namespaces: [], ports: [] })),
      serviceAddress: (host) => `[${host}]`,
    });
    expect(text.split('\n').slice(2)).toEqual([
      '[reviews.default.svc.cluster.local] reviews.default.svc.cluster.local reviews.default.svc reviews.default reviews',
      '[cart.shop.svc.cluster.local] cart.shop.svc.cluster.local cart.shop.svc cart.shop',
      '[httpbin.example] httpbin.example',
      '',
    ]);
  });
});
