// Push: who is served Secrets: the gateway whose servers name them, the workloads that a rule selects, over mutual TLS, and nobody else.

import { create } from '@bufbuild/protobuf';
import { TestWebAuthority, type WebCertificate } from '@lateen/identity/testing';
import type { ConfigObject } from '@lateen/istio-config';
import { createLogger } from '@lateen/telemetry';
import { buildSnapshot, TranslationCache, type Workload } from '@lateen/translate';
import { TYPE_URL, toEnvoyJson, unpackAny } from '@lateen/xds-proto';
import { NodeSchema } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import { SecretSchema } from '@lateen/xds-proto/envoy/extensions/transport_sockets/tls/v3/secret_pb.js';
import { beforeAll, expect, test } from 'vitest';
import { ProxySource } from './proxy-source.js';

const NAMESPACE = 'istio-system';
let certificate: WebCertificate;
let roots: string;

beforeAll(async () => {
  const authority = await TestWebAuthority.create('authority');
  certificate = await authority.issue({ dnsNames: ['shop.example.com'] });
  roots = authority.rootsPem;
});

function pod(name: string, serviceAccount: string, gateway: boolean, app = '', namespace = NAMESPACE): Workload {
  return {
    name,
    namespace,
    labels: app === '' ? { istio: 'ingressgateway' } : { app },
    annotations: {},
    serviceAccount,
    workloadName: name,
    address: '127.9.0.1',
    ports: [],
    ready: true,
    serviceAddresses: {},
    gateway,
    extraBindAddresses: {},
  };
}

const gateway = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name: 'shop', namespace: NAMESPACE, labels: {}, annotations: {} },
  spec: {
    selector: { istio: 'ingressgateway' },
    servers: [
      {
        port: { number: 443, name: 'https', protocol: 'HTTPS' },
        hosts: ['shop.example.com'],
        tls: { mode: 'MUTUAL', credentialName: 'shop' },
      },
    ],
  },
  source: { file: 'shop.yaml', line: 1, column: 1 },
} as unknown as ConfigObject;

const partner = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'DestinationRule',
  metadata: { name: 'partner', namespace: NAMESPACE, labels: {}, annotations: {} },
  spec: {
    host: 'partner.example.com',
    workloadSelector: { matchLabels: { app: 'caller' } },
    trafficPolicy: { tls: { mode: 'MUTUAL', credentialName: 'partner' } },
  },
  source: { file: 'partner.yaml', line: 1, column: 1 },
} as unknown as ConfigObject;

const host = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'ServiceEntry',
  metadata: { name: 'partner', namespace: NAMESPACE, labels: {}, annotations: {} },
  spec: {
    hosts: ['partner.example.com'],
    location: 'MESH_EXTERNAL',
    resolution: 'STATIC',
    ports: [{ number: 80, name: 'http', protocol: 'HTTP' }],
    endpoints: [{ address: '127.0.0.1' }],
  },
  source: { file: 'partner.yaml', line: 20, column: 1 },
} as unknown as ConfigObject;

/** A source that knows a gateway, pods that are none, and Secrets of which two are named. */
function publishedSource(): ProxySource {
  const source = new ProxySource({ cache: new TranslationCache(), logger: createLogger('test', 'silent') });
  const values = { 'tls.crt': certificate.certPem, 'tls.key': certificate.keyPem, 'ca.crt': roots };
  const mesh = buildSnapshot({
    namespaces: [],
    services: [],
    workloads: [
      pod('edge-0', 'edge', true),
      pod('app-0', 'app', false),
      pod('caller-0', 'caller', false, 'caller'),
      pod('other-0', 'caller', false, 'other'),
      pod('caller-0', 'caller', false, 'caller', 'other'),
    ],
    credentials: [
      { namespace: NAMESPACE, name: 'shop', values },
      { namespace: NAMESPACE, name: 'partner', values },
      { namespace: NAMESPACE, name: 'unnamed', values },
      { namespace: 'other', name: 'shop', values },
      { namespace: 'other', name: 'partner', values },
    ],
    configs: [gateway, partner, host],
  });
  source.publish({ mesh, version: 'v1', changedAtMs: 1, revision: 1 });
  return source;
}

function client(podName: string, serviceAccount: string, type = 'router', namespace = NAMESPACE) {
  return {
    streamId: podName,
    node: create(NodeSchema, {
      id: `${type}~127.9.0.1~${podName}.${namespace}~${namespace}.svc.cluster.local`,
      metadata: {
        SERVICE_ACCOUNT: serviceAccount,
        INTERCEPTION_MODE: 'NONE',
        LABELS: { istio: 'ingressgateway', app: 'caller' },
      },
    }),
    peer: 'memory',
    form: 'delta' as const,
    connectedAtMs: 1,
  };
}

function secretsOf(view: ReturnType<ProxySource['open']>) {
  return view.current()?.resources.get(TYPE_URL.secret) ?? new Map();
}

test('a gateway is served what its servers name, of its own namespace', () => {
  const source = publishedSource();
  const view = source.open(client('edge-0', 'edge'), () => {});
  const secrets = secretsOf(view);
  expect([...secrets.keys()]).toEqual(['kubernetes://shop', 'kubernetes://shop-cacert']);
  const { type } = unpackAny(secrets.get('kubernetes://shop')!.any, SecretSchema);
  if (type.case !== 'tlsCertificate') throw new Error('not a certificate');
  expect(toEnvoyJson(SecretSchema, unpackAny(secrets.get('kubernetes://shop-cacert')!.any, SecretSchema))).toEqual({
    name: 'kubernetes://shop-cacert',
    validation_context: { trusted_ca: { inline_bytes: Buffer.from(roots).toString('base64') } },
  });
  const key = type.value.privateKey?.specifier;
  expect(key?.case === 'inlineBytes' && Buffer.from(key.value).toString()).toBe(certificate.keyPem);
  expect(JSON.stringify(source.statuses())).not.toContain('PRIVATE');
});

const CLUSTER = 'outbound|80||partner.example.com';

test('a sidecar is served what a rule that selects its workload names, of its own namespace', () => {
  const source = publishedSource();
  const view = source.open(client('caller-0', 'caller', 'sidecar'), () => {});
  const secrets = secretsOf(view);
  expect([...secrets.keys()]).toEqual(['kubernetes://partner', 'kubernetes://partner-cacert']);
  expect(JSON.stringify(source.statuses())).not.toContain('PRIVATE');
});

test.each([
  ['one without a certificate', 'caller-0', 'caller', NAMESPACE, true, 'over mutual TLS only'],
  ['one of another service account', 'caller-0', 'app', NAMESPACE, false, 'service account caller, not for app'],
  [
    'one that nobody knows, whatever it calls itself',
    'caller-9',
    'caller',
    NAMESPACE,
    false,
    'that the registry knows',
  ],
  ['one whose labels say otherwise in the registry', 'other-0', 'caller', NAMESPACE, false, undefined],
  ['one of another namespace', 'caller-0', 'caller', 'other', false, undefined],
])('of sidecars, %s is served none', (_what, podName, serviceAccount, namespace, plaintext, why) => {
  const source = publishedSource();
  const from = plaintext ? source.withoutSecrets : source;
  const view = from.open(client(podName, serviceAccount, 'sidecar', namespace), () => {});
  expect([...secretsOf(view).keys()]).toEqual([]);
  expect([...(view.current()?.resources.get(TYPE_URL.cluster)?.keys() ?? [])]).toContain(CLUSTER);
  const problems = source.statuses().flatMap((status) => status.problems.map(({ message }) => message));
  if (why === undefined) expect(problems.join('\n')).not.toContain('Secret');
  else expect(problems.join('\n')).toContain(why);
});

test.each([
  ['a gateway without a certificate', 'edge-0', 'edge', 'router', true, 'over mutual TLS only'],
  ['a pod that calls itself a gateway', 'app-0', 'app', 'router', false, 'only gateways are served Secrets'],
  ["an account that calls itself by the gateway's name", 'edge-0', 'app', 'router', false, 'service account edge'],
  ['a sidecar', 'edge-0', 'edge', 'sidecar', false, undefined],
  ['a pod that nobody knows', 'edge-9', 'edge', 'router', false, 'only gateways are served Secrets'],
])('%s is served none', (_what, podName, serviceAccount, type, plaintext, why) => {
  const source = publishedSource();
  const from = plaintext ? source.withoutSecrets : source;
  const view = from.open(client(podName, serviceAccount, type), () => {});
  expect([...secretsOf(view).keys()]).toEqual([]);
  expect([...(view.current()?.resources.get(TYPE_URL.listener)?.keys() ?? [])]).not.toContain('0.0.0.0_8443');
  const problems = source.statuses().flatMap((status) => status.problems.map(({ message }) => message));
  if (why !== undefined) expect(problems.join('\n')).toContain(why);
});
