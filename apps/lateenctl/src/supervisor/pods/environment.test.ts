// Tests of an application's environment: Kubernetes's variables, pointing into the pod's own addresses.
import { parsePodField } from '@lateen/istio-config';
import { describe, expect, it } from 'vitest';
import type { KubeService } from '../../kubernetes/objects.js';
import { buildEnvironment } from './environment.js';

const service = (name: string, ports: KubeService['ports']): KubeService => ({
  namespace: 'default',
  name,
  labels: {},
  annotations: {},
  selector: {},
  ports,
  headless: false,
  nodeLocal: false,
});

const ADDRESSES: Readonly<Record<string, string>> = {
  'my-reviews.default.svc.cluster.local': '127.30.0.17',
  'api.my-host.example': '127.30.0.18',
  '*.wild.example': '127.30.0.19',
};

function environment(env: Parameters<typeof buildEnvironment>[0]['env'] = [], intercepted = false) {
  return buildEnvironment({
    fields: {
      podName: 'web-1',
      namespace: 'default',
      serviceAccount: 'web',
      address: '127.30.0.16',
      labels: { app: 'web' },
      annotations: {},
    },
    env,
    appPorts: new Map([
      [9080, 20_001],
      [9090, 20_002],
    ]),
    services: [
      service('my-reviews', [
        { name: 'http-web', port: 9080, targetPort: 9080, appProtocol: '' },
        { name: '', port: 9090, targetPort: 9090, appProtocol: '' },
      ]),
    ],
    entryHosts: ['api.my-host.example', '*.wild.example'].map((host) => ({
      host,
      namespaces: [],
      ports: [{ name: 'https', port: 443 }],
    })),
    hostsFile: intercepted ? undefined : '/state/pods/default.web-1/hosts',
    serviceAddress: (host) => ADDRESSES[host] ?? 'wrong',
  });
}

describe('environment', () => {
  it("sets Kubernetes's service variables", () => {
    expect(environment()).toMatchObject({
      MY_REVIEWS_SERVICE_HOST: '127.30.0.17',
      MY_REVIEWS_SERVICE_PORT: '9080',
      MY_REVIEWS_SERVICE_PORT_HTTP_WEB: '9080',
      MY_REVIEWS_PORT: 'tcp://127.30.0.17:9080',
      MY_REVIEWS_PORT_9090_TCP_ADDR: '127.30.0.17',
    });
  });

  it('sets the same for hosts of ServiceEntries, and says where all names stand', () => {
    expect(environment()).toMatchObject({
      API_MY_HOST_EXAMPLE_SERVICE_HOST: '127.30.0.18',
      API_MY_HOST_EXAMPLE_SERVICE_PORT_HTTPS: '443',
      ANY_WILD_EXAMPLE_SERVICE_HOST: '127.30.0.19',
      LATEEN_HOSTS_FILE: '/state/pods/default.web-1/hosts',
    });
  });

  it('says where to listen, and wins over the container there', () => {
    const env = environment([{ name: 'PORT', value: { text: '9080' } }]);
    expect(env).toMatchObject({ HOST: '127.0.0.1', PORT: '20001', PORT_9080: '20001', PORT_9090: '20002' });
  });

  it('names the forward proxy, and not for addresses that the sidecar binds', () => {
    expect(environment()).toMatchObject({
      HTTP_PROXY: 'http://127.30.0.16:15007',
      POD_IP: '127.30.0.16',
      NO_PROXY: 'localhost,127.0.0.1,127.30.0.16,127.30.0.18,127.30.0.19,127.30.0.17',
    });
  });

  it('tells an intercepted application of no proxy, and leaves it to listen where it likes', () => {
    const env = environment([{ name: 'PORT', value: { text: '9080' } }], true);
    expect(env).toMatchObject({ HOST: '0.0.0.0', PORT: '9080', MY_REVIEWS_SERVICE_HOST: '127.30.0.17' });
    for (const name of ['HTTP_PROXY', 'http_proxy', 'NO_PROXY', 'LATEEN_HOSTS_FILE'])
      expect(env).not.toHaveProperty(name);
  });

  it('expands $(NAME) of what comes before, and pod fields', () => {
    const env = environment([
      { name: 'SELF', value: { field: parsePodField('metadata.name')! } },
      { name: 'APP', value: { field: parsePodField("metadata.labels['app']")! } },
      { name: 'URL', value: { text: 'http://$(MY_REVIEWS_SERVICE_HOST)/$(SELF)/$(LATER)/$$(SELF)' } },
      { name: 'LATER', value: { text: 'x' } },
    ]);
    expect(env).toMatchObject({ SELF: 'web-1', APP: 'web', URL: 'http://127.30.0.17/web-1/$(LATER)/$(SELF)' });
    expect(parsePodField('status.phase')).toBeUndefined();
  });

  it("keeps the supervisor's own environment out", () => {
    process.env.LATEEN_TEST_SECRET = 'x';
    expect(environment()).not.toHaveProperty('LATEEN_TEST_SECRET');
    delete process.env.LATEEN_TEST_SECRET;
  });
});
