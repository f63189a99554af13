// `version`: what is asked of whom, and what is told where somebody does not answer.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import { resourceTypes } from '@lateen/kubernetes';
import { FakeApiServer } from '@lateen/kubernetes/testing';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { VERSION } from '../version.js';
import { clusterVersions, tagOf } from './cluster-versions.js';
import { countVersions, versionAt } from './mesh-versions.js';
import { versionsText } from './version-command.js';

describe('of a cluster', () => {
  let server: FakeApiServer;
  beforeEach(async () => {
    server = await FakeApiServer.start();
    // Neither port-forwards nor tokens.
    server.intercept = (request, response) => {
      if (request.method === 'GET' && request.headers.upgrade === undefined) return false;
      response.writeHead(404, { 'content-type': 'application/json' }).end('{"kind":"Status","code":404}');
      return true;
    };
  });
  afterEach(() => server.stop());

  const pod = (name: string, namespace: string, labels: Record<string, string>, containers: object, init = {}) =>
    server.put(resourceTypes.pods, {
      metadata: { name, namespace, labels },
      spec: { containers: list(containers), initContainers: list(init) },
    } as never);
  const list = (images: object) => Object.entries(images).map(([name, image]) => ({ name, image }));

  it('tells the tags of images where neither a pod nor Pilot can be asked, and says so', async () => {
    pod('pilot-a', 'istio-system', { app: 'pilot', 'istio.io/rev': 'default' }, { pilot: 'lateen/pilot:1.0.0' });
    pod('galley-a', 'istio-system', { app: 'galley' }, { galley: 'host:5000/lateen/galley:1.1.0@sha256:ab' });
    pod('web-1', 'shop', {}, { web: 'web:9' }, { 'istio-proxy': 'lateen/sidecar:1.0.0' });
    pod('web-2', 'shop', {}, { web: 'web:9', 'istio-proxy': 'lateen/sidecar:0.9.0' });
    pod('web-3', 'shop', {}, { web: 'web:9' }, { 'istio-proxy': 'lateen/sidecar:1.0.0' });
    const client = server.client();
    const kubeConfig = new KubeConfig();
    kubeConfig.loadFromClusterAndUser({ name: 'fake', server: server.url, skipTLSVerify: false }, { name: 'me' });
    const warnings: string[] = [];
    const access = { ...client.access, kubeConfig };
    const versions = await clusterVersions({ client, access }, (text) => warnings.push(text));
    expect(versions).toEqual({
      controlPlane: [
        { component: 'galley', pod: 'galley-a', version: '1.1.0', told: false },
        { component: 'pilot', pod: 'pilot-a', version: '1.0.0', told: false },
      ],
      dataPlane: [
        { version: '1.0.0', proxies: 2 },
        { version: '0.9.0', proxies: 1 },
      ],
    });
    expect(warnings.join()).toMatch(/what Pilot knows of the proxies .*no mesh is installed/);
    expect(versionsText(versions).split('\n')).toEqual([
      `client version: ${VERSION}`,
      'galley version: 1.1.0 (galley-a, by its image)',
      'pilot version: 1.0.0 (pilot-a, by its image)',
      'data plane version: 1.0.0 (2 proxies)',
      'data plane version: 0.9.0 (1 proxy)',
    ]);
  });
});

describe('text', () => {
  it('groups pods of the same version, and says where no mesh runs', () => {
    const controlPlane = ['a', 'b'].map((pod) => ({ component: 'pilot', pod, version: '1.0.0', told: true }));
    expect(versionsText({ controlPlane, dataPlane: [] }).split('\n').slice(1)).toEqual([
      'pilot version: 1.0.0 (a; b)',
      'data plane version: none (no proxies)',
    ]);
    expect(versionsText(undefined)).toBe(`client version: ${VERSION}\nno mesh runs here`);
    const silent = { component: 'citadel', version: null, told: false };
    expect(versionsText({ controlPlane: [silent], dataPlane: undefined })).toMatch(/citadel version: does not answer$/);
  });
});

test('versions are counted, the most frequent first', () => {
  expect(countVersions(['1', '2', '2', ''])).toEqual([
    { version: '2', proxies: 2 },
    { version: '1', proxies: 1 },
    { version: 'unknown', proxies: 1 },
  ]);
});

test.each([
  ['lateen/pilot:1.2.0', '1.2.0'],
  ['host:5000/lateen/pilot', undefined],
  ['host:5000/lateen/pilot:x@sha256:00ff', 'x'],
  [undefined, undefined],
])('the tag of %s is %s', (image, tag) => {
  expect(tagOf(image)).toBe(tag);
});

describe('monitoring port', () => {
  let other: Server;
  afterEach(() => other.close());
  it.each([
    ['{"version":"3"}', '3'],
    ['<html>', null],
    ['{}', null],
  ])('that answers %s tells %s', async (body, version) => {
    other = createServer((_request, response) => void response.end(body));
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    expect(await versionAt('127.0.0.1', (other.address() as AddressInfo).port)).toBe(version);
  });
});
