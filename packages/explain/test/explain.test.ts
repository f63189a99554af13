// Tests of explain: the shape that is printed, the decision in each of its forms, and that reasons point to the right lines.

import { describe, expect, it } from 'vitest';
import { RequestSyntaxError, UnknownCallerError } from '../src/index.js';
import { explainedMesh, fitsLine, REGISTRY, reasonsOf } from './explained-mesh.js';

const RULES = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts:
  - web
  http:
  - match:
    - headers:
        end-user: {exact: jason}
      uri: {prefix: /cart}
    route:
    - destination: {host: web, subset: v2}
    rewrite: {uri: /basket}
    timeout: 3s
    retries:
      attempts: 3
      retryOn: 5xx,429
      perTryTimeout: 1s
    headers:
      request:
        set: {x-set: one}
        remove: [x-test]
      response: {add: {x-answer: "yes"}}
  - match:
    - sourceLabels: {tier: back}
    - uri: {prefix: /old}
    redirect: {uri: /new, redirectCode: 302}
  - match:
    - uri: {exact: /tea}
    directResponse: {status: 418, body: {string: short and stout}}
  - route:
    - destination: {host: web, subset: v1}
      weight: 90
    - destination: {host: web, subset: v3}
      weight: 10
      headers: {request: {set: {x-canary: "1"}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: default}
spec:
  mtls:
    mode: STRICT
`;
const mesh = explainedMesh(RULES);
const FIRST = REGISTRY.split('\n').length;
const NO_CHANGES = { set: {}, add: {}, remove: [] };
const WEB = 'web.default.svc.cluster.local';
const at = (line: number, path: string, decides: string, of = '') => ({
  ...{ file: 'mesh.yaml', line, kind: 'VirtualService', namespace: 'default', name: 'web' },
  ...{ path, decides, of },
});

describe('the answer', () => {
  it('has this shape', () => {
    const cluster = `outbound|80|v2|${WEB}`;
    const answer = mesh.ask('POST http://web/cart/7?x=1', ['end-user: jason', 'x-test: 1']);
    const ofDestinationRule = answer.because.filter(({ kind }) => kind === 'DestinationRule');
    const ofRegistry = answer.because.filter(({ kind }) => kind === 'Service' || kind === 'Deployment');
    expect({ ...answer, because: answer.because.filter((each) => each.line >= FIRST) }).toEqual({
      from: { workload: 'client', namespace: 'default', pod: 'client-0', gateway: false },
      listener: `${WEB}:80`,
      virtualHost: `${WEB}:80`,
      route: 'VirtualService default/web http[0].match[0]',
      clusters: [
        {
          name: cluster,
          weight: 100,
          endpoints: [{ pod: 'web-v2-0.default', workload: 'web-v2', port: 8080, tls: 'mutual' }],
          loadBalancer: 'ROUND_ROBIN',
          circuitBreaker: { maxConnections: null, maxPendingRequests: null, maxRequests: null, maxRetries: null },
          outlierDetection: null,
          connectTimeoutMs: 10_000,
          path: '/basket/7?x=1',
          host: 'web',
          requestHeaders: NO_CHANGES,
          responseHeaders: NO_CHANGES,
        },
      ],
      action: 'forward',
      status: null,
      responseFlag: '',
      location: null,
      body: null,
      requestHeaders: { set: { 'x-set': 'one' }, add: {}, remove: ['x-test'] },
      responseHeaders: { set: {}, add: { 'x-answer': 'yes' }, remove: [] },
      path: '/basket/7?x=1',
      host: 'web',
      timeoutMs: 3000,
      retries: {
        attempts: 3,
        perTryTimeoutMs: 1000,
        retryOn: ['5xx', 'retriable-status-codes'],
        retriableStatusCodes: [429],
        backoffMs: null,
      },
      fault: null,
      mirror: [],
      cors: null,
      limits: [],
      asks: [],
      hashBy: [],
      outcome: `it is sent to ${cluster}`,
      notMatched: [],
      notReached: [
        'VirtualService default/web http[1].match[1]',
        'VirtualService default/web http[2].match[0]',
        'VirtualService default/web http[3]',
      ],
      authorization: null,
      inbound: [
        {
          workload: 'web-v2',
          namespace: 'default',
          port: 8080,
          mtls: 'STRICT',
          caller: 'mutual',
          accepted: true,
          filterChain: 'mtls',
          authorization: null,
          action: 'forward',
          cluster: 'inbound|8080||',
          timeoutMs: null,
          limits: [],
          asks: [],
        },
      ],
      because: [
        at(FIRST + 5, 'spec.hosts[0]', 'virtualHost'),
        at(FIRST + 8, 'spec.http[0].match[0]', 'route'),
        at(FIRST + 13, 'spec.http[0].rewrite.uri', 'path'),
        at(FIRST + 14, 'spec.http[0].timeout', 'timeoutMs'),
        at(FIRST + 15, 'spec.http[0].retries', 'retries'),
        at(FIRST + 20, 'spec.http[0].headers.request', 'requestHeaders'),
        at(FIRST + 23, 'spec.http[0].headers.response', 'responseHeaders'),
        at(FIRST + 12, 'spec.http[0].route[0].destination', 'clusters', cluster),
        {
          ...at(FIRST + 43, 'spec.mtls.mode', 'inbound', 'web-v2.default'),
          kind: 'PeerAuthentication',
          name: 'strict',
        },
      ],
      notes: [],
    });
    expect(ofDestinationRule.map(({ path, decides, of }) => [path, decides, of])).toEqual([
      ['spec.subsets[1]', 'subset', cluster],
      ['spec.trafficPolicy.loadBalancer', 'loadBalancer', cluster],
    ]);
    expect(ofRegistry.map((each) => [each.kind, each.name, each.path, each.decides, mesh.line(each)])).toEqual([
      ['Service', 'web', 'spec.ports[0]', 'virtualHost', '  - {name: http, port: 80, targetPort: 8080}'],
      ['Service', 'web', 'spec.ports[0]', 'clusters', '  - {name: http, port: 80, targetPort: 8080}'],
      ['Deployment', 'web-v2', '', 'endpoints', 'apiVersion: apps/v1'],
    ]);
  });

  it('is the same each time', () => {
    expect(mesh.ask('http://web/x')).toEqual(mesh.ask('http://web/x'));
  });
});

describe('weights', () => {
  const answer = mesh.ask('http://web/x', ['x-test: 1']);

  it('stand with each cluster, as do the changes and reasons that are its own', () => {
    expect(answer.clusters).toMatchObject([
      { name: `outbound|80|v1|${WEB}`, weight: 90, requestHeaders: NO_CHANGES, loadBalancer: 'ROUND_ROBIN' },
      {
        name: `outbound|80|v3|${WEB}`,
        weight: 10,
        requestHeaders: { set: { 'x-canary': '1' } },
        loadBalancer: 'RANDOM',
      },
    ]);
    const own = answer.because.filter(({ of }) => of === `outbound|80|v3|${WEB}`);
    expect(own.map(({ path }) => path)).toEqual([
      'spec.http[3].route[1].destination',
      'spec.http[3].route[1].headers.request',
      'spec.ports[0]',
      'spec.subsets[2]',
      'spec.subsets[2].trafficPolicy.loadBalancer',
      '',
    ]);
  });

  it('say why the rules before did not match: the first condition of each that does not hold', () => {
    expect(
      answer.notMatched.map(({ rule, condition, expected, actual }) => [rule, condition, expected, actual]),
    ).toEqual([
      ['VirtualService default/web http[0].match[0]', 'uri', 'prefix /cart', '/x'],
      ['VirtualService default/web http[1].match[0]', 'sourceLabels.tier', '"back"', '"front"'],
      ['VirtualService default/web http[1].match[1]', 'uri', 'prefix /old', '/x'],
      ['VirtualService default/web http[2].match[0]', 'uri', 'exact /tea', '/x'],
    ]);
    expect(answer.notMatched.map(({ because }) => because && mesh.line(because).trim())).toEqual([
      'uri: {prefix: /cart}',
      '- sourceLabels: {tier: back}',
      '- uri: {prefix: /old}',
      '- uri: {exact: /tea}',
    ]);
  });

  it('look at headers once the path matches', () => {
    const [first] = mesh.ask('http://web/cart', ['end-user: bob']).notMatched;
    expect(first).toMatchObject({ condition: 'headers.end-user', expected: 'exact "jason"', actual: '"bob"' });
    expect(mesh.line(first!.because!)).toContain('end-user: {exact: jason}');
    expect(mesh.ask('http://web/cart').notMatched[0]).toMatchObject({ actual: 'absent' });
  });
});

describe('answers of the proxy', () => {
  it.each([
    ['http://web/old/1', { action: 'redirect', status: 302, location: 'http://web/new', responseFlag: '' }],
    ['http://web/tea', { action: 'directResponse', status: 418, body: 'short and stout' }],
    ['http://web/tea%00', { action: 'refused', status: 400, responseFlag: 'DPE' }],
  ])('%s', (request, expected) => {
    expect(mesh.ask(request)).toMatchObject(expected);
  });

  it('point to the rule', () => {
    const reasons = mesh.ask('http://web/old/1').because.filter(({ decides }) => decides === 'redirect');
    expect(reasons.map(mesh.line)).toEqual(['    redirect: {uri: /new, redirectCode: 302}']);
  });
});

describe('where a call comes in', () => {
  it('is the service by every name that the caller may use', () => {
    for (const host of ['web', 'web.default', 'web.default.svc', WEB]) {
      expect(mesh.ask(`http://${host}/x`).listener).toBe(`${WEB}:80`);
    }
    expect(mesh.ask('http://stock.other/x')).toMatchObject({
      listener: 'stock.other.svc.cluster.local:80',
      route: 'default',
    });
  });

  it('is the forward proxy for the others, with the reason', () => {
    const answer = mesh.ask('http://stock/x');
    expect(answer).toMatchObject({ listener: 'forward proxy', virtualHost: 'allow_any', status: null });
    expect(answer.clusters).toMatchObject([{ name: 'PassthroughCluster', endpoints: [{ pod: 'stock', port: 80 }] }]);
    expect(answer.notes[0]).toContain(
      'no service of the mesh is called stock in namespace default; did you mean stock.other?',
    );
    expect(mesh.ask('http://web:81/x').notes[0]).toContain(`service ${WEB} has no port 81 (it has 80, 9000)`);
  });

  it('is the address of a service whatever the Host says, and that may be no host of the mesh', () => {
    const answer = mesh.ask('http://web/x', ['host: nobody.example']);
    expect(answer).toMatchObject({ action: 'directResponse', virtualHost: 'block_all', status: 502 });
    expect(answer.notes).toEqual([expect.stringMatching(/^ALLOW_ANY cannot pass this on/)]);
  });

  it('may be a port of which nobody reads requests', () => {
    expect(mesh.ask('http://web:9000/')).toMatchObject({
      action: 'tcp',
      clusters: [{ name: `outbound|9000||${WEB}`, endpoints: [{}, {}, {}] }],
    });
  });

  it('takes the Host from a header, and the address from the URL', () => {
    expect(mesh.ask('http://web/x', ['Host: stock.other'])).toMatchObject({
      listener: `${WEB}:80`,
      virtualHost: 'stock.other.svc.cluster.local:80',
    });
  });
});

describe('reasons', () => {
  it('point to lines with what they name', () => {
    for (const request of ['http://web/cart', 'http://web/x', 'http://web/old', 'http://web/tea', 'http://web:9000/']) {
      const answer = mesh.ask(request, ['end-user: jason']);
      expect(reasonsOf(answer).filter((reason) => !fitsLine(mesh, reason))).toEqual([]);
    }
  });
});

describe('who calls', () => {
  it.each([
    'client',
    'client-0',
    'client.default',
    'default/client',
    'client-0.default',
    'client/v1',
    'deployment/client',
  ])('may be named as %s', (from) => expect(mesh.ask('http://web/x', [], from).from.workload).toBe('client'));

  it('is asked for where the name means several workloads, or none', () => {
    expect(() => mesh.ask('http://web/x', [], 'web')).toThrow(UnknownCallerError);
    expect(() => mesh.ask('http://web/x', [], 'web')).toThrow(
      'means several workloads: web-v1.default, web-v2.default',
    );
    expect(() => mesh.ask('http://web/x', [], 'clinet')).toThrow(/no workload "clinet"; did you mean client/);
    expect(mesh.ask('http://web/x', [], 'web/v2').from.workload).toBe('web-v2');
  });

  it('sees what a Sidecar lets it see', () => {
    const narrow = explainedMesh(`apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: narrow, namespace: default}
spec:
  egress: [{hosts: ["other/*"]}]
  outboundTrafficPolicy: {mode: REGISTRY_ONLY}
`);
    const answer = narrow.ask('http://web/x');
    expect(answer).toMatchObject({ virtualHost: 'block_all', status: 502 });
    expect(answer.notes[0]).toContain(`Sidecar default/narrow does not let default see ${WEB}`);
    expect(answer.because.map(({ path }) => path)).toEqual(['spec.egress', 'spec.outboundTrafficPolicy']);
    expect(narrow.ask('http://stock.other/x').action).toBe('forward');
  });
});

describe('destinations that do not take the call', () => {
  it('are named: no endpoint, no subset, plain text to STRICT', () => {
    const broken = explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
  - match: [{uri: {prefix: /lost}}]
    route: [{destination: {host: web, subset: v9}}]
  - route: [{destination: {host: stock.other.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock, namespace: other}
spec: {host: stock, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: strict, namespace: other}
spec: {selector: {matchLabels: {app: stock}}, portLevelMtls: {8080: {mode: STRICT}}}
`);
    const lost = broken.ask('http://web/lost');
    expect(lost).toMatchObject({
      action: 'forward',
      status: 503,
      responseFlag: 'UH',
      clusters: [{ name: 'BlackHoleCluster' }],
    });
    expect(lost.notes.join()).toContain('gives service web.default.svc.cluster.local no subset v9');
    const plain = broken.ask('http://web/x');
    expect(plain.inbound).toMatchObject([{ workload: 'stock', mtls: 'STRICT', caller: 'none', accepted: false }]);
    expect(plain.because.filter(({ decides }) => decides === 'inbound')).toMatchObject([
      { path: 'spec.portLevelMtls["8080"].mode' },
    ]);
  });
});

describe('the request', () => {
  it.each([
    ['reviews:9080', [], 'is no request'],
    ['GET ftp://web/', [], 'is no request'],
    ['http://web:99999/', [], 'is no host'],
    ['http://user@web/', [], 'is no host'],
    ['http://web/', ['end-user'], 'is no header'],
    ['http://web/', ['a b: c'], 'is no header'],
  ])('%s %j is refused with advice', (request, headers, message) => {
    expect(() => mesh.ask(request, headers)).toThrow(RequestSyntaxError);
    expect(() => mesh.ask(request, headers)).toThrow(message);
  });

  it('is decided as it is normalized', () => {
    const answer = mesh.ask('http://web/a/../old/x');
    expect(answer).toMatchObject({ action: 'redirect', notes: ['the path is taken as /old/x'] });
  });
});
