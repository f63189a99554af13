// Which rules of RateLimit resources count a request, at the receiving sidecar and at the gateway, with their lines.

import { describe, expect, it } from 'vitest';
import { EDGE, explainedMesh, FILE, REGISTRY } from './explained-mesh.js';

const LIMITS = `apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  hosts: [web]
  rules:
  - name: by-user
    match: [{path: {template: "/users/{id}"}, methods: [GET]}]
    by: [{header: {name: x-user}}, {sourceIdentity: {}}]
    limit: {requests: 100, per: 1m, burst: 20}
    response: {status: 420}
  - name: all
    limit: {requests: 500, per: 1s}
    scope: MESH
    mode: SHADOW
---
apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: other, namespace: default}
spec:
  selector: {matchLabels: {app: other}}
  rules: [{name: none, limit: {requests: 1, per: 1s}}]
---
apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  rules:
  - {name: by-address, by: [{clientAddress: {}}], limit: {requests: 5, per: 1s}}
---
${EDGE}`;

describe('the limits of RateLimit', () => {
  const mesh = explainedMesh(`${REGISTRY}${LIMITS}`);
  const lineOf = (text: string) => mesh.text.split('\n').findIndex((line) => line.includes(text)) + 1;

  it('are those that match where the request arrives', () => {
    const answer = mesh.ask('GET http://web/users/7?x=1', ['x-user: ann']);
    const [inbound] = answer.inbound;
    expect(answer.limits).toEqual([]);
    expect(inbound?.limits).toEqual([
      {
        filter: 'lateen.ratelimit/default/web/by-user',
        at: 'listener',
        maxTokens: 20,
        tokensPerFill: 100,
        fillIntervalMs: 60_000,
        enforcedPercentage: 100,
        status: 420,
        rule: 'default/web/by-user',
        scope: 'PROXY',
        countedBy: [
          { by: 'header x-user', value: 'ann' },
          { by: 'source identity', value: 'spiffe://cluster.local/ns/default/sa/default' },
        ],
      },
      expect.objectContaining({ rule: 'default/web/all', scope: 'MESH', enforcedPercentage: 0, maxTokens: 50 }),
    ]);
    expect(answer.because).toContainEqual({
      file: FILE,
      line: lineOf('- name: by-user'),
      kind: 'RateLimit',
      namespace: 'default',
      name: 'web',
      path: 'spec.rules[0]',
      decides: 'limits',
      of: 'default/web/by-user',
    });
  });

  it('are not those of other paths, methods and workloads', () => {
    for (const request of ['GET http://web/users/7/more', 'POST http://web/users/7']) {
      expect(mesh.ask(request, ['x-user: ann']).inbound[0]?.limits.map(({ rule }) => rule)).toEqual([
        'default/web/all',
      ]);
    }
    // The same question again has the same answer: nothing was charged.
    expect(mesh.ask('GET http://web/users/7', ['x-user: ann'])).toEqual(
      mesh.ask('GET http://web/users/7', ['x-user: ann']),
    );
  });

  it('leave out a request without the value, and say so', () => {
    const { inbound, notes } = mesh.ask('GET http://web/users/7');
    expect(inbound[0]?.limits.map(({ rule }) => rule)).toEqual(['default/web/all']);
    expect(notes).toContain('RateLimit default/web/by-user does not count the request: it has no header x-user');
  });

  it('hold at a gateway, also for what it answers itself', () => {
    const { limits, because } = mesh.ask('GET http://any.example/', [], 'ingress gateway');
    expect(limits).toMatchObject([
      { rule: 'istio-system/edge/by-address', countedBy: [{ by: 'client address', value: null }] },
    ]);
    expect(because).toContainEqual(expect.objectContaining({ kind: 'RateLimit', line: lineOf('- {name: by-address') }));
  });
});

describe('the services of RateLimit', () => {
  const RULES = `apiVersion: lateen.io/v1alpha1
kind: RateLimit
metadata: {name: asked, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - name: by-user
    scope: EXTERNAL
    match: [{path: {prefix: /users}}]
    by: [{header: {name: x-user}, key: user}, {clientAddress: {}}]
    external: {service: limits.infra, port: 8081, domain: shop, timeout: 50ms}
  - name: strict
    scope: EXTERNAL
    external: {service: limits.infra, port: 8081, domain: strict, failOpen: false, entries: {tier: gold}}
    response: {status: 503}
`;
  const mesh = explainedMesh(`${REGISTRY}${RULES}`);

  it('are named, with what they would be told and the line of the rule', () => {
    const { inbound, because } = mesh.ask('GET http://web/users/7', ['x-user: ann']);
    const service = 'limits.infra:8081';
    expect(inbound[0]?.asks).toEqual([
      {
        rule: 'default/asked/by-user',
        service,
        domain: 'shop',
        descriptor: [
          { key: 'rule', value: 'by-user' },
          { key: 'user', value: 'ann' },
          { key: 'remote_address', value: null },
        ],
        timeoutMs: 50,
        failOpen: true,
        status: 429,
      },
      expect.objectContaining({
        rule: 'default/asked/strict',
        domain: 'strict',
        descriptor: [{ key: 'tier', value: 'gold' }],
        failOpen: false,
        status: 503,
      }),
    ]);
    expect(because).toContainEqual(expect.objectContaining({ kind: 'RateLimit', of: 'default/asked/by-user' }));
    expect(mesh.ask('GET http://web/other').inbound[0]?.asks).toMatchObject([{ rule: 'default/asked/strict' }]);
  });
});
