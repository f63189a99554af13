// Tests of explain: rules that are not followed, with the reason, and the ways in through a gateway.

import { describe, expect, it } from 'vitest';
import { explainedMesh, fitsLine, reasonsOf } from './explained-mesh.js';

const WEB = 'web.default.svc.cluster.local';

describe('rules that are not followed', () => {
  const others = explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a-first, namespace: default}
spec:
  hosts: [web]
  http:
  - match: [{sourceNamespace: other}, {port: 81}]
    route: [{destination: {host: web, subset: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: b-second, namespace: default}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: wide, namespace: default}
spec: {hosts: ["*.default.svc.cluster.local"], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: outside, namespace: default}
spec:
  hosts: [web]
  gateways: [door]
  http: [{route: [{destination: {host: web}}]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: misplaced, namespace: other}
spec: {hosts: [web], http: [{route: [{destination: {host: web}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: kept, namespace: other}
spec: {hosts: [${WEB}], exportTo: ["."], http: [{route: [{destination: {host: ${WEB}}}]}]}
`);

  it('are named with the reason', () => {
    const { route, notMatched } = others.ask('http://web/x');
    expect(route).toBe('default');
    expect(
      notMatched.map(({ rule, condition, expected, actual }) => `${rule}: ${condition} ${expected}; ${actual}`),
    ).toEqual([
      'VirtualService default/a-first http[0].match[0]: sourceNamespace other; default',
      'VirtualService default/a-first http[0].match[1]: port 81; 80',
      `VirtualService default/b-second: hosts ${WEB}; VirtualService default/a-first, which is older (or first by name), has it`,
      'VirtualService default/outside: gateways default/door; mesh',
      `VirtualService default/wide: hosts *.default.svc.cluster.local; VirtualService default/a-first, which names the host more exactly, has it`,
      'VirtualService other/kept: exportTo .; default',
      `VirtualService other/misplaced: hosts web.other.svc.cluster.local; ${WEB}`,
    ]);
  });
});

describe('a gateway', () => {
  const door = explainedMesh(`apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*.example.com"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: default}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http:
  - match: [{uri: {prefix: /web}}]
    route: [{destination: {host: web, port: {number: 80}}}]
`);
  const ask = (request: string, headers: string[] = []) => door.ask(request, headers, 'ingress gateway');

  it('takes calls of its hosts, by the Gateway and the VirtualService', () => {
    const answer = ask('http://shop.example.com:8080/web');
    expect(answer).toMatchObject({
      listener: 'gateway port 8080',
      virtualHost: 'shop.example.com:80',
      action: 'forward',
    });
    const hosts = answer.because.filter(({ decides }) => decides === 'virtualHost');
    expect(hosts.map(({ kind, path }) => `${kind} ${path}`)).toEqual([
      'VirtualService spec.hosts[0]',
      'Gateway spec.servers[0]',
    ]);
    expect(ask('http://127.0.0.1/web', ['host: shop.example.com']).action).toBe('forward');
  });

  it('answers 404 for the others, with what was tried', () => {
    expect(ask('http://shop.example.com/other')).toMatchObject({
      action: 'notFound',
      status: 404,
      responseFlag: 'NR',
      notMatched: [{ condition: 'uri', expected: 'prefix /web', actual: '/other' }],
    });
    expect(ask('http://nobody.example.com/web')).toMatchObject({ action: 'notFound', virtualHost: null });
  });

  it('refuses ports that no server has', () => {
    expect(ask('http://shop.example.com:9090/')).toMatchObject({ action: 'noListener', status: null });
    expect(ask('http://shop.example.com:9090/').outcome).toContain('its Gateways serve 80');
  });
});

describe('a host of a ServiceEntry', () => {
  const entry = explainedMesh(`apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: api, namespace: default}
spec:
  hosts: [api.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
`);

  it('is called as a service is, and the ServiceEntry is the reason', () => {
    const answer = entry.ask('http://api.example.com/x');
    expect(answer).toMatchObject({
      listener: 'api.example.com:80',
      clusters: [{ name: 'outbound|80||api.example.com', endpoints: [{ pod: 'api.example.com', tls: 'none' }] }],
      inbound: [],
    });
    expect(answer.because.map(({ kind, path, decides }) => [kind, path, decides])).toEqual([
      ['ServiceEntry', 'spec.ports[0]', 'virtualHost'],
      ['ServiceEntry', 'spec.ports[0]', 'route'],
      ['ServiceEntry', 'spec.ports[0]', 'clusters'],
    ]);
    expect(entry.ask('http://api/x').virtualHost).toBe('allow_any');
  });
});

describe('very many rules', () => {
  it('are asked about in portions', () => {
    const count = 1200;
    const rules = Array.from(
      { length: count },
      (_, index) =>
        `  - match: [{uri: {exact: /p${index}}, method: {exact: GET}}]\n    route: [{destination: {host: web}}]\n`,
    );
    const many = explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many, namespace: default}
spec:
  hosts: [web]
  http:
${rules.join('')}`);
    const answer = many.ask('POST http://web/p1199');
    expect(answer).toMatchObject({ action: 'notFound', notReached: [] });
    expect(answer.notMatched).toHaveLength(count);
    expect(answer.notMatched.at(-1)).toMatchObject({ condition: 'method', actual: '"POST"' });
    expect(answer.notMatched.at(-2)).toMatchObject({ condition: 'uri', expected: 'exact /p1198' });
  });
});

describe('a rule that is delegated', () => {
  const joined = explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: root, namespace: default}
spec:
  hosts: [web]
  http:
  - match:
    - uri: {prefix: /shop}
      headers: {x-root: {exact: "1"}}
    delegate: {name: shop, namespace: other}
    timeout: 4s
  - route: [{destination: {host: web, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: other}
spec:
  http:
  - match:
    - uri: {prefix: /shop/cart}
    route:
    - destination: {host: web.default.svc.cluster.local, subset: v2}
    retries: {attempts: 5}
`);
  const lines = (answer: ReturnType<typeof joined.ask>, decides: string) =>
    answer.because.filter((each) => each.decides === decides).map((each) => `${each.name} ${each.path}`);

  it('is blamed on both: what each of the two says', () => {
    const answer = joined.ask('http://web/shop/cart', ['x-root: 1']);
    expect(answer).toMatchObject({ route: 'VirtualService other/shop http[0].match[0]', timeoutMs: 4000 });
    expect(lines(answer, 'virtualHost')).toEqual(['web spec.ports[0]', 'root spec.hosts[0]']);
    expect(lines(answer, 'timeoutMs')).toEqual(['root spec.http[0].timeout']);
    expect(lines(answer, 'retries')).toEqual(['shop spec.http[0].retries']);
    expect(lines(answer, 'clusters')).toContain('shop spec.http[0].route[0].destination');
    expect(reasonsOf(answer).filter((reason) => !fitsLine(joined, reason))).toEqual([]);
  });

  it('is passed over by a condition of either', () => {
    const [first] = joined.ask('http://web/shop/cart').notMatched;
    expect(first).toMatchObject({ condition: 'headers.x-root', because: { name: 'root' } });
    expect(joined.ask('http://web/shop', ['x-root: 1']).notMatched).toMatchObject([
      { condition: 'uri', expected: 'prefix /shop/cart', because: { name: 'shop' } },
    ]);
  });
});
