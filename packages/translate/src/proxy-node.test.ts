// Checks what is read of an Envoy Node, and that every fault is told.

import { fromEnvoyJson } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { describe, expect, it } from 'vitest';
import { parseProxyNode } from './proxy-node.js';

const parse = (node: object) => parseProxyNode(fromEnvoyJson(NodeSchema, node));

describe('parseProxyNode', () => {
  it('reads a sidecar, whose pod name may have dots', () => {
    const result = parse({
      id: 'sidecar~127.1.0.6~web.v1-0.default~default.svc.cluster.local',
      metadata: {
        NAMESPACE: 'default',
        SERVICE_ACCOUNT: 'web',
        WORKLOAD_NAME: 'web',
        LABELS: { app: 'web' },
        INTERCEPTION_MODE: 'NONE',
        LATEEN_VERSION: '0.1.0',
      },
    });
    expect(result).toMatchObject({
      ok: true,
      proxy: {
        type: 'sidecar',
        ipAddress: '127.1.0.6',
        podName: 'web.v1-0',
        namespace: 'default',
        serviceAccount: 'web',
        workloadName: 'web',
        clusterId: 'Kubernetes',
        locality: '',
        labels: { app: 'web' },
        interceptionMode: 'NONE',
        understandsIstioFilters: true,
      },
    });
  });

  it("reads the node's locality", () => {
    const id = 'sidecar~10.0.0.1~a.b~b.svc.cluster.local';
    expect(parse({ id, locality: { region: 'eu', zone: 'z1' } })).toMatchObject({ proxy: { locality: 'eu/z1/' } });
    expect(parse({ id, locality: {} })).toMatchObject({ proxy: { locality: '' } });
  });

  it('takes a stock Envoy: intercepted, without istio filters', () => {
    expect(parse({ id: 'router~10.0.0.1~edge-0.edge~edge.svc.cluster.local' })).toMatchObject({
      ok: true,
      proxy: { type: 'router', interceptionMode: 'REDIRECT', understandsIstioFilters: false, labels: {} },
    });
  });

  it.each([
    [{ id: 'envoy-1' }, /1 parts; expected TYPE~IP~POD.NAMESPACE~DOMAIN/],
    [{ id: 'a~127.0.0.1~b.c~d' }, /type "a" is neither sidecar nor router/],
    [{ id: 'sidecar~host~b.c~d' }, /"host" is not an IP address/],
    [{ id: 'sidecar~127.0.0.1~pod~d' }, /"pod" is not POD.NAMESPACE/],
    [{ id: 'sidecar~127.0.0.1~b.c~d', metadata: { NAMESPACE: 'x' } }, /"x" contradicts the node id's namespace "c"/],
    [{ id: 'sidecar~127.0.0.1~b.c~d', metadata: { LABELS: { a: 1 } } }, /LABELS.a: expected a string, got 1/],
    [{ id: 'sidecar~127.0.0.1~b.c~d', metadata: { LABELS: 'app' } }, /LABELS: expected an object of strings/],
    [{ id: 'sidecar~127.0.0.1~b.c~d', metadata: { INTERCEPTION_MODE: 'X' } }, /X is none of NONE, REDIRECT, TPROXY/],
  ])('refuses %j', (node, expected) => {
    const result = parse(node);
    expect(result.ok ? '' : result.errors.join('\n')).toMatch(expected);
  });

  it('tells all faults at once, and a node that is not there', () => {
    const result = parse({ id: 'a~b~c~d', metadata: { LABELS: 3, SERVICE_ACCOUNT: 4 } });
    expect(result.ok ? [] : result.errors).toHaveLength(5);
    expect(parseProxyNode(undefined).ok).toBe(false);
  });
});
