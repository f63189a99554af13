// Who may call, by AuthorizationPolicies at the receiving sidecar and at the gateway, with the rule's line.

import { describe, expect, it } from 'vitest';
import { EDGE, explainedMesh, FILE, REGISTRY } from './explained-mesh.js';

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: readers, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/default]}}]
    to: [{operation: {methods: [GET]}}] # readers
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: secrets, namespace: default}
spec:
  action: DENY
  rules:
  - to: [{operation: {paths: [/never]}}]
  - to: [{operation: {paths: [/secret]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: tried, namespace: default, annotations: {istio.io/dry-run: "true"}}
spec:
  action: DENY
  rules: [{to: [{operation: {paths: [/open]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audited, namespace: default}
spec:
  action: AUDIT
  rules: [{to: [{operation: {paths: [/open]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  rules: [{to: [{operation: {hosts: [shop.example.com]}}]}]
---
${EDGE}`;

describe('who may call', () => {
  const mesh = explainedMesh(POLICIES, REGISTRY);
  const lineOf = (text: string) => mesh.text.split('\n').findIndex((line) => line.includes(text)) + 1;
  /** Of the first of the versions; they are all alike. */
  const reasonsOf = (answer: ReturnType<typeof mesh.ask>) =>
    answer.because
      .filter(({ decides, of }) => decides === 'authorization' && of === 'web-v1.default')
      .map(({ file, line, name, path }) => [file, line, name, path]);

  it('is decided by the rule that allows', () => {
    const answer = mesh.ask('GET http://web/open');
    expect(answer.status).toBeNull();
    expect(answer.inbound[0]?.authorization).toEqual({
      decision: 'allowed',
      rule: 'ns[default]-policy[readers]-rule[0]',
      asked: null,
    });
    expect(reasonsOf(answer)).toEqual([[FILE, lineOf('- from: [{source'), 'readers', 'spec.rules[0]']]);
    expect(answer.notes.filter((note) => note.startsWith('at web-v1.default'))).toEqual([
      `at web-v1.default it is audited by AuthorizationPolicy default/audited rules[0] (${FILE}:${lineOf('name: audited') + 3})`,
      `at web-v1.default a dry run would deny it: AuthorizationPolicy default/tried rules[0] (${FILE}:${lineOf('name: tried') + 3})`,
    ]);
  });

  it('is decided by the rule that denies', () => {
    const answer = mesh.ask('GET http://web/secret');
    expect(answer.status).toBe(403);
    expect(answer.outcome).toContain('denies it');
    expect(answer.inbound[0]).toMatchObject({
      action: 'denied',
      authorization: { decision: 'denied', rule: 'ns[default]-policy[secrets]-rule[1]' },
    });
    expect(reasonsOf(answer)).toEqual([[FILE, lineOf('[/secret]'), 'secrets', 'spec.rules[1]']]);
  });

  it('is decided by nobody, and the policies that might have allowed are named', () => {
    const answer = mesh.ask('POST http://web/open');
    expect(answer.inbound[0]?.authorization).toEqual({ decision: 'denied', rule: null, asked: null });
    expect(reasonsOf(answer).map(([, , name]) => name)).toEqual(['readers']);
  });

  it('is decided about connections by what is known of them, the server name among it', () => {
    const policy = (name: string, spec: string) =>
      `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: default}\nspec: {${spec}}\n`;
    const readers = policy('readers', 'rules: [{to: [{operation: {ports: ["9000"]}}]}]');
    const allowed = explainedMesh(readers, REGISTRY).ask('GET http://web:9000/');
    expect(allowed).toMatchObject({ action: 'tcp', outcome: expect.stringMatching(/does not look at requests$/) });
    expect(allowed.inbound[0]).toMatchObject({
      action: 'tcp',
      authorization: { decision: 'allowed', rule: 'ns[default]-policy[readers]-rule[0]' },
    });
    expect(reasonsOf(allowed)).toMatchObject([[FILE, expect.any(Number), 'readers', 'spec.rules[0]']]);

    const name = 'outbound_.9000_._.web.default.svc.cluster.local';
    const byName = policy('by-name', `action: DENY, rules: [{when: [{key: connection.sni, values: [${name}]}]}]`);
    const denied = explainedMesh(`${readers}---\n${byName}`, REGISTRY).ask('GET http://web:9000/');
    expect(denied.inbound.map(({ action }) => action)).toEqual(denied.inbound.map(() => 'denied'));
    expect(denied.outcome).toMatch(/whose sidecar denies it and closes it$/);
    expect(denied.notes.find((note) => note.startsWith('at web-v1.default'))).toContain(
      `at web-v1.default closes the connection: it is denied, by AuthorizationPolicy default/by-name rules[0] (${FILE}:`,
    );
  });

  it('is decided at the gateway before a route is looked for', () => {
    expect(mesh.ask('GET http://shop.example.com/', [], 'gateway')).toMatchObject({
      action: 'directResponse',
      authorization: { decision: 'allowed' },
    });
    const answer = mesh.ask('GET http://other.example.com/', [], 'gateway');
    expect(answer).toMatchObject({ action: 'refused', status: 403, authorization: { decision: 'denied', rule: null } });
    expect(answer.outcome).toBe('the proxy answers 403: it is denied, no ALLOW policy is for it');
  });

  it('is everybody where no policy holds', () => {
    expect(mesh.ask('GET http://stock.other/').inbound[0]?.authorization).toBeNull();
  });
});
