// Property: what explain says of generated rules is what an independent simulation of the same resources says, and its
// reasons stand where they say.

import { describe, expect, it } from 'vitest';
import { simulate } from '../../translate/test/simulate.js';
import { findCaller, proxyOf } from '../src/index.js';
import { explainedMesh, fitsLine, reasonsOf } from './explained-mesh.js';
import { generatedCases } from './generated-rules.js';

const cases = generatedCases(25, 5, 20_261_123);

describe('generated rules', () => {
  it.each(cases.map((each, index) => [index, each] as const))('case %i', (_, { rules, requests }) => {
    const mesh = explainedMesh(`apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [web]
  http:
${rules.http}
`);
    const { snapshot } = mesh;
    const { resources } = proxyOf(snapshot, findCaller(snapshot, 'client', undefined));
    for (const { method, path, headers } of requests) {
      const answer = mesh.ask(
        `${method} http://web${path}`,
        headers.map(([name, value]) => `${name}: ${value}`),
      );
      expect(
        reasonsOf(answer).filter((reason) => !fitsLine(mesh, reason)),
        mesh.text,
      ).toEqual([]);
      // The simulation knows neither normalization nor regular expressions.
      if (/%|\.\.|\/\//.test(path) || rules.http.includes('regex')) continue;
      const expected = simulate(resources, {
        to: '127.2.0.1:80',
        host: 'web',
        path,
        method,
        headers: Object.fromEntries(headers),
      });
      const weights = Object.fromEntries(answer.clusters.map(({ name, weight }) => [name, weight]));
      if ('clusters' in expected) {
        expect(Object.keys(weights), rules.http).toEqual(Object.keys(expected.clusters));
        expect(answer.virtualHost).toBe(expected.virtualHost);
      } else {
        expect([answer.action, answer.status, answer.virtualHost], rules.http).toEqual([
          ...['status' in expected && expected.status === 418 ? 'directResponse' : expect.any(String)],
          ...['status' in expected ? (expected.status === 301 ? 302 : expected.status) : 0],
          'virtualHost' in expected ? expected.virtualHost : undefined,
        ]);
      }
    }
  });
});
