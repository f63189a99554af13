// Specs as JSON.
import { expect, test } from 'vitest';
import { parseDocuments } from './parse.js';
import { InvalidSpecError, parseSpecJson } from './spec-json.js';

test('what was parsed from YAML comes back from its JSON', () => {
  const content = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec: {host: a, subsets: [{name: v1, labels: {version: v1}}]}`;
  const [object] = parseDocuments([{ name: 'a.yaml', content }], { defaultNamespace: 'default' }).objects;
  const spec = parseSpecJson('DestinationRule', JSON.stringify(object?.spec));
  expect(spec).toEqual(object?.spec);
  expect(spec.subsets?.[0]?.labels).toEqual({ version: 'v1' });
});

test('MeshConfig too', () => {
  expect(parseSpecJson('MeshConfig', '{"trustDomain":"example.org"}').trustDomain).toBe('example.org');
});

test('a spec of the wrong structure is an error that names every fault', () => {
  const parse = () => parseSpecJson('PeerAuthentication', '{"mtls":{"mode":"X"},"y":1}');
  expect(parse).toThrow(InvalidSpecError);
  expect(parse).toThrow(/spec\.mtls\.mode: `X` is not one of.*spec\.y: unknown field/);
});

test('text that is not JSON is an error', () => {
  expect(() => parseSpecJson('Gateway', '{')).toThrow(/the spec of a Gateway is not valid: not JSON/);
});
