// What objects mean to each other.
import { expect, test } from 'vitest';
import { parseDocuments } from './parse.js';
import { formatProblem } from './problem.js';
import { type ValidationContext, validateObjects } from './validate.js';

function objectsOf(content: string) {
  const { objects, problems } = parseDocuments([{ name: 'in.yaml', content }], { defaultNamespace: 'default' });
  expect(problems.filter(({ severity }) => severity === 'error')).toEqual([]);
  return objects;
}

function said(content: string, context?: ValidationContext): string[] {
  return validateObjects(objectsOf(content), context).map(formatProblem);
}

const route = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  gateways: [mesh, edge]
  http:
  - route:
    - destination: {host: reviews, subset: v2}
`;

const rule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews.default.svc.cluster.local
  subsets: [{name: v2, labels: {version: v2}}]
`;

const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ["*"]
`;

test('a subset and a gateway that are not there', () => {
  expect(said(route)).toEqual([
    'in.yaml:10:44 VirtualService/default/reviews spec.http[0].route[0].destination.subset: warning: no DestinationRule defines subset `v2` of reviews.default.svc.cluster.local; add a DestinationRule with it, or requests will get 503',
    'in.yaml:7:20 VirtualService/default/reviews spec.gateways[1]: warning: there is no Gateway default/edge; add it, or correct the name',
  ]);
});

test('references to what is beside or exists already are fine', () => {
  expect(said([route, rule, gateway].join('---'))).toEqual([]);
  expect(said(route, { existing: objectsOf([rule, gateway].join('---')) })).toEqual([]);
});

test('the same object twice', () => {
  expect(said(`${rule}---${rule}`)).toEqual([
    'in.yaml:11:18 DestinationRule/default/reviews metadata.name: DestinationRule/default/reviews is also at in.yaml:2; keep one of them',
  ]);
});

test('an object that replaces the stored one is no duplicate', () => {
  expect(said(rule, { existing: objectsOf(rule) })).toEqual([]);
});

test('policies that compete', () => {
  const policy = (name: string, selector = '') =>
    `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ${name}}\nspec: {${selector}mtls: {mode: STRICT}}\n`;
  const reviews = 'selector: {matchLabels: {app: reviews}}, ';
  expect(said([policy('a'), policy('b', reviews)].join('---\n'))).toEqual([]);
  expect(said([policy('a'), policy('b'), policy('c', reviews), policy('d', reviews)].join('---\n'))).toEqual([
    'in.yaml:8:18 PeerAuthentication/default/b metadata.name: warning: PeerAuthentication/default/a is for the same workloads, and only the oldest holds; keep one of them',
    'in.yaml:18:18 PeerAuthentication/default/d metadata.name: warning: PeerAuthentication/default/c is for the same workloads, and only the oldest holds; keep one of them',
  ]);
});

test('a targetPort that no container has', () => {
  const text = `
apiVersion: v1
kind: Service
metadata: {name: a}
spec: {selector: {app: a}, ports: [{port: 80, targetPort: web}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: a, ports: [{name: http, containerPort: 8080}]}]}
`;
  expect(said(text)).toEqual([
    'in.yaml:5:59 Service/default/a spec.ports[0].targetPort: no container of the selected pods has a port named `web`; use one of their names',
  ]);
});
