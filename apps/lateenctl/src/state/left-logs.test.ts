// Tests of finding the logs of a mesh that has ended.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leftLogFile, leftLogNames } from './left-logs.js';
import { stateLayout } from './state-layout.js';

const directory = mkdtempSync(join(tmpdir(), 'lateen-left-logs-'));
const layout = stateLayout(directory);
const FILES = [
  'logs/pilot.log',
  'pods/default.reviews-v1-bd5792747c-0/app.log',
  'pods/default.reviews-v1-bd5792747c-0/sidecar.log',
  'pods/istio-system.istio-ingressgateway-0/sidecar.log',
];

beforeAll(() => {
  for (const file of FILES) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), 'a line\n');
  }
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('logs of a mesh that has ended', () => {
  it.each([
    ['pilot', FILES[0]],
    ['galley', undefined],
    ['reviews-v1', FILES[1]],
    ['deployment/reviews-v1', FILES[1]],
    ['reviews-v1/sidecar', FILES[2]],
    ['reviews-v1.default/sidecar', FILES[2]],
    ['default/reviews-v1-bd5792747c-0', FILES[1]],
    ['default/reviews-v1-bd5792747c-0/sidecar', FILES[2]],
    ['istio-ingressgateway', FILES[3]],
    ['istio-ingressgateway/app', undefined],
    ['reviews-v2', undefined],
    ['../../etc', undefined],
  ])('%s', (name, file) => {
    const found = leftLogFile(layout, name);
    expect(found === undefined ? undefined : relative(directory, found)).toBe(file);
  });

  it('names what there is, and nothing where no mesh ever ran', () => {
    expect(leftLogNames(layout)).toEqual([
      'default/reviews-v1-bd5792747c-0',
      'istio-system/istio-ingressgateway-0',
      'pilot',
    ]);
    expect(leftLogNames(stateLayout(join(directory, 'nowhere')))).toEqual([]);
  });
});
