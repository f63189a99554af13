// Tests of places: fields of applied documents are found in the files that they came from, as long as these say the same.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfigObject, locateField, parseDocuments } from '@lateen/istio-config';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { withPlaces } from './read-mesh.js';

const RULE = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web}
spec:
  hosts: [web]
  http:
  - route: [{destination: {host: web}}]
    timeout: 3s
`;
let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lateen-places-'));
  file = join(folder, 'rules.yaml');
  writeFileSync(file, RULE);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** As Pilot tells it: a copy, with the time at which it came. */
function stored(): ConfigObject {
  const [object] = parseDocuments([{ name: file, content: RULE }], { defaultNamespace: 'shop' }).objects;
  const copy = JSON.parse(JSON.stringify(object)) as ConfigObject;
  return { ...copy, metadata: { ...copy.metadata, creationTimestamp: '2026-01-01T00:00:00.000Z' } };
}

const timeoutLine = (objects: readonly ConfigObject[]) => locateField(objects[0]!, ['spec', 'http', 0, 'timeout']).line;

it('finds fields, and keeps what the store says', () => {
  const placed = withPlaces([stored()]);
  expect(placed).toEqual([stored()]);
  expect(timeoutLine(placed)).toBe(8);
});

it('keeps to the line at which the document began where the file says something else, or is gone', () => {
  writeFileSync(file, RULE.replace('3s', '4s'));
  expect(timeoutLine(withPlaces([stored()]))).toBe(1);
  rmSync(file);
  expect(timeoutLine(withPlaces([stored()]))).toBe(1);
});
