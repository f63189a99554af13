// Kubernetes: golden cases: cases/CASE/{in.yaml,why} → out.yaml (`UPDATE_GOLDEN=1` writes it), and what a change makes anew.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EndpointSlice, KubeObject, Namespace, Node, Pod, Service } from '@lateen/kubernetes';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { RegistryBuilder } from './build-registry.js';
import {
  type ClusterObjects,
  keepEndpointSlice,
  keepNamespace,
  keepNode,
  keepPod,
  keepService,
} from './cluster-objects.js';
import { SERVICE_OF_SLICE } from './service-of-cluster.js';

const CASES = join(dirname(fileURLToPath(import.meta.url)), 'cases');

function readObjects(text: string): ClusterObjects {
  const documents = parseAllDocuments(text).map((document) => document.toJS() as KubeObject);
  const of = <T extends KubeObject>(kind: string, keep: (object: T) => T) =>
    documents.filter((object) => object.kind === kind).map((object) => keep(object as T));
  return {
    namespaces: of<Namespace>('Namespace', keepNamespace),
    nodes: of<Node>('Node', keepNode),
    services: of<Service>('Service', keepService),
    endpointSlices: of<EndpointSlice>('EndpointSlice', keepEndpointSlice),
    pods: of<Pod>('Pod', keepPod),
  };
}

describe('golden cases', () => {
  for (const name of readdirSync(CASES).sort()) {
    const file = (part: string) => join(CASES, name, part);
    it(`${name}: ${readFileSync(file('why'), 'utf8').trim()}`, () => {
      const registry = new RegistryBuilder().build(readObjects(readFileSync(file('in.yaml'), 'utf8')));
      const actual = stringify(registry, { aliasDuplicateObjects: false, lineWidth: 0 });
      if (process.env.UPDATE_GOLDEN === '1' || !existsSync(file('out.yaml'))) writeFileSync(file('out.yaml'), actual);
      expect(parse(actual)).toEqual(parse(readFileSync(file('out.yaml'), 'utf8')));
    });
  }
});

/** Services of ten pods each. */
function largeCluster(services: number): ClusterObjects {
  const numbers = [...Array(services).keys()];
  const podsOf = (service: number) =>
    [...Array(10).keys()].map((pod) => ({
      name: `app-${service}-${pod}`,
      ip: `10.${service >> 8}.${service & 255}.${pod}`,
    }));
  return {
    namespaces: [{ metadata: { name: 'shop' } }],
    nodes: [{ metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'z1' } } }],
    services: numbers.map((service) => ({
      metadata: { name: `app-${service}`, namespace: 'shop', resourceVersion: '1' },
      spec: {
        clusterIP: `10.96.0.${service}`,
        selector: { app: `app-${service}` },
        ports: [{ name: 'http', port: 80, targetPort: 'web' }],
      },
    })),
    endpointSlices: numbers.map((service) => ({
      metadata: { name: `app-${service}-x`, namespace: 'shop', labels: { [SERVICE_OF_SLICE]: `app-${service}` } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: podsOf(service).map(({ name, ip }) => ({
        addresses: [ip],
        conditions: { ready: true },
        targetRef: { kind: 'Pod', namespace: 'shop', name },
      })),
    })),
    pods: numbers.flatMap((service) =>
      podsOf(service).map(({ name, ip }) => ({
        metadata: { name, namespace: 'shop', labels: { app: `app-${service}` } },
        spec: {
          nodeName: 'node-1',
          serviceAccountName: `app-${service}`,
          containers: [{ name: 'app', ports: [{ name: 'web', containerPort: 8080 }] }],
        },
        status: {
          phase: 'Running' as const,
          podIPs: [{ ip }],
          conditions: [{ type: 'Ready', status: 'True' as const }],
        },
      })),
    ),
  };
}

function others<T>(before: readonly T[], after: readonly T[]): readonly T[] {
  return after.filter((each) => !before.includes(each));
}

describe('a change', () => {
  it('of one EndpointSlice makes one service anew, and no workload', () => {
    const builder = new RegistryBuilder();
    const objects = largeCluster(20);
    const before = builder.build(objects);
    const [slice, ...rest] = objects.endpointSlices;
    const [endpoint, ...kept] = slice?.endpoints ?? [];
    const changed = { ...slice!, endpoints: [{ ...endpoint!, conditions: { ready: false } }, ...kept] };
    const after = builder.build({ ...objects, endpointSlices: [changed, ...rest] });
    expect(others(before.services, after.services).map(({ name }) => name)).toEqual(['app-0']);
    expect(others(before.workloads, after.workloads)).toEqual([]);
  });

  it('of a pod that is of no matter to the mesh changes nothing', () => {
    const builder = new RegistryBuilder();
    const objects = largeCluster(2);
    const before = builder.build(objects);
    const pods = objects.pods.map((pod) => ({ ...pod, metadata: { ...pod.metadata, resourceVersion: '2' } }));
    const after = builder.build({ ...objects, pods });
    expect(others(before.workloads, after.workloads)).toEqual([]);
    expect(others(before.services, after.services)).toEqual([]);
  });

  it("of a node's zone reaches the pods on it", () => {
    const builder = new RegistryBuilder();
    const objects = largeCluster(1);
    builder.build(objects);
    const nodes = [{ metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'z2' } } }];
    const after = builder.build({ ...objects, nodes });
    expect(new Set(after.workloads.map(({ locality }) => locality))).toEqual(new Set(['/z2/']));
  });

  it('of a target port reaches the pods of the service', () => {
    const builder = new RegistryBuilder();
    const objects = largeCluster(1);
    builder.build(objects);
    const [service] = objects.services;
    const ports = [{ name: 'http', port: 80, targetPort: 9090 }];
    const after = builder.build({ ...objects, services: [{ ...service!, spec: { ...service!.spec, ports } }] });
    expect(after.workloads[0]?.ports).toEqual([{ port: 9090, appPort: 9090, name: '' }]);
  });
});
