// Pod mode: what a pod's environment and files mean, and that each fault in them is told.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { parseDownwardFile } from './downward-api.js';
import { readPodSettings } from './pod-settings.js';
import { durationMs } from './proxy-config.js';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'lateen-pod-'));
  mkdirSync(join(root, 'etc/istio/pod'), { recursive: true });
  writeFileSync(join(root, 'etc/istio/pod/labels'), 'app="reviews"\nversion="v2"\n');
  writeFileSync(join(root, 'etc/istio/pod/annotations'), 'note="a \\"quoted\\"\\nline"\n');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const settings = (more: Record<string, string> = {}, type: 'sidecar' | 'router' = 'sidecar') =>
  readPodSettings(type, '1.0', {
    POD_NAME: 'reviews-1',
    POD_NAMESPACE: 'shop',
    INSTANCE_IP: '10.0.0.7',
    SERVICE_ACCOUNT: 'reviews',
    LATEEN_POD_ROOT: root,
    ...more,
  });

const nodeOf = (bootstrap: string) => (parse(bootstrap) as { node: Record<string, Record<string, unknown>> }).node;

describe('readPodSettings', () => {
  test('says who the proxy is, as Istio names it', () => {
    const { bootstrap } = settings({
      ISTIO_META_WORKLOAD_NAME: 'reviews',
      ISTIO_META_INTERCEPTION_MODE: 'REDIRECT',
      ISTIO_META_DNS_CAPTURE: 'true',
      ISTIO_META_APP_CONTAINERS: 'app',
    });
    const node = nodeOf(bootstrap);
    expect(node.id).toBe('sidecar~10.0.0.7~reviews-1.shop~shop.svc.cluster.local');
    expect(node.cluster).toBe('reviews.shop');
    expect(node.metadata).toMatchObject({
      NAME: 'reviews-1',
      NAMESPACE: 'shop',
      SERVICE_ACCOUNT: 'reviews',
      WORKLOAD_NAME: 'reviews',
      LABELS: { app: 'reviews', version: 'v2' },
      ANNOTATIONS: { note: 'a "quoted"\nline' },
      INTERCEPTION_MODE: 'REDIRECT',
      DNS_CAPTURE: 'true',
      APP_CONTAINERS: 'app',
      CLUSTER_ID: 'Kubernetes',
    });
    expect(String(node.metadata?.INSTANCE_IPS).split(',')[0]).toBe('10.0.0.7');
    expect(node.metadata).not.toHaveProperty('LATEEN_PORTS');
  });

  test('a router is another type of node, and is not intercepted', () => {
    const node = nodeOf(settings({}, 'router').bootstrap);
    expect(node.id).toBe('router~10.0.0.7~reviews-1.shop~shop.svc.cluster.local');
    expect(node.metadata).toMatchObject({ INTERCEPTION_MODE: 'NONE' });
  });

  test('reaches Pilot by its name, or where PROXY_CONFIG or PILOT_ADDRESS say', () => {
    const address = (more: Record<string, string>) => {
      const text = settings(more).bootstrap;
      const match = /address: (\S+)\n\s+port_value: (\d+)\n\s+typed_extension/.exec(text);
      return [match?.[1], match?.[2], /type: (STRICT_DNS|STATIC)/.exec(text)?.[1]];
    };
    expect(address({})).toEqual(['pilot.istio-system.svc', '15012', 'STRICT_DNS']);
    const config = JSON.stringify({ discoveryAddress: 'pilot-canary.istio-system.svc:15012' });
    expect(address({ PROXY_CONFIG: config })[0]).toBe('pilot-canary.istio-system.svc');
    expect(address({ PROXY_CONFIG: config, PILOT_ADDRESS: '10.1.1.1:99' })).toEqual(['10.1.1.1', '99', 'STATIC']);
  });

  test('is started and ended as PROXY_CONFIG says; its proxyMetadata is weaker than the container', () => {
    const config = {
      concurrency: 2,
      terminationDrainDuration: '1m5s',
      proxyMetadata: { TRUST_DOMAIN: 'a', ISTIO_META_X: 'y' },
    };
    const read = settings({ PROXY_CONFIG: JSON.stringify(config), TRUST_DOMAIN: 'mesh.test', ISTIO_CPU_LIMIT: '1' });
    expect(read).toMatchObject({ concurrency: 1, drain: { durationMs: 65_000, untilNobody: false } });
    expect(read.citadel).toMatchObject({ trustDomain: 'mesh.test', address: 'citadel.istio-system.svc:8060' });
    expect(nodeOf(read.bootstrap).metadata).toMatchObject({ X: 'y' });
    const native = settings({ EXIT_ON_ZERO_ACTIVE_CONNECTIONS: 'true', MINIMUM_DRAIN_DURATION: '2s' });
    expect(native.drain).toEqual({ durationMs: 5_000, untilNobody: true, minimumMs: 2_000 });
  });

  test('tells every fault at once', () => {
    const faults = () =>
      readPodSettings('sidecar', '1.0', {
        LATEEN_POD_ROOT: root,
        INSTANCE_IP: 'here',
        PILOT_ADDRESS: 'pilot',
        ISTIO_META_INTERCEPTION_MODE: 'MAGIC',
        ISTIO_KUBE_APP_PROBERS: '{"/elsewhere":{"httpGet":{"port":1}},"/app-health/a/livez":{}}',
        ISTIO_PROMETHEUS_ANNOTATIONS: '{"scrape":"true","port":"many"}',
        MINIMUM_DRAIN_DURATION: 'soon',
      });
    for (const text of [
      'POD_NAME is required',
      'POD_NAMESPACE is required',
      'INSTANCE_IP: "here" is not an IP address',
      'PILOT_ADDRESS: "pilot" is not HOST:PORT',
      '"MAGIC" is none of REDIRECT',
      '/elsewhere is not /app-health/CONTAINER',
      'needs exactly one of httpGet, tcpSocket, grpc',
      'port "many" is not a port',
      'MINIMUM_DRAIN_DURATION: "soon" is not a duration',
    ]) {
      expect(faults).toThrow(text);
    }
    expect(() => settings({ PROXY_CONFIG: '{"concurrency":-1,"terminationDrainDuration":5}' })).toThrow(
      /concurrency: -1 is not.*\n.*terminationDrainDuration: 5 is not/,
    );
    expect(() => settings({ PROXY_CONFIG: '{' })).toThrow('PROXY_CONFIG is not JSON');
  });

  test('the service account stands in the token where nobody says it', () => {
    mkdirSync(join(root, 'var/run/secrets/tokens'), { recursive: true });
    const payload = Buffer.from(JSON.stringify({ sub: 'system:serviceaccount:shop:ratings' })).toString('base64url');
    writeFileSync(join(root, 'var/run/secrets/tokens/istio-token'), `e.${payload}.s`);
    expect(nodeOf(settings({ SERVICE_ACCOUNT: '' }).bootstrap).metadata).toMatchObject({ SERVICE_ACCOUNT: 'ratings' });
  });
});

test('durations in the forms of Go and of protobuf', () => {
  expect(['5s', '1m30s', '500ms', '0s', '1.5s', '5.000s', 'soon', '5', 7].map(durationMs)).toEqual([
    5000,
    90_000,
    500,
    0,
    1500,
    5000,
    undefined,
    undefined,
    undefined,
  ]);
});

test('the files of the downward API', () => {
  expect(parseDownwardFile('a="b"\n\nc.d/e="f=g"\nx="\\t\\x41\\u00e4"\n')).toEqual({
    a: 'b',
    'c.d/e': 'f=g',
    x: '\tAä',
  });
});
