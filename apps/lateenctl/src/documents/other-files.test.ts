// Tests of telling other files from those with resources.
import { formatProblem } from '@lateen/istio-config';
import { describe, expect, it } from 'vitest';
import { bootstrapProblem, isOtherJson, meshConfigProblem, sortFiles } from './other-files.js';

const MESH = { name: 'mesh.yaml', content: 'accessLogFile: /dev/stdout\n' };
const BOOTSTRAP = { name: 'proxy.yaml', content: '# a proxy\nnode: {id: a}\nstatic_resources:\n  listeners: []\n' };
const RESOURCE = { name: 'a.yaml', content: 'apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n' };
const UNKNOWN = { name: 'package.json', content: '{"name": "x"}' };
const BROKEN = { name: 'broken.yaml', content: 'a: [' };

describe('other files', () => {
  it('are told from resources; what nobody knows is read as a resource', () => {
    expect(sortFiles([MESH, RESOURCE, BOOTSTRAP, UNKNOWN, BROKEN])).toEqual({
      documents: [RESOURCE, UNKNOWN, BROKEN],
      meshConfigs: [MESH],
      bootstraps: [BOOTSTRAP],
    });
  });

  it('are named with what to do', () => {
    expect(formatProblem(meshConfigProblem(MESH))).toContain('mesh.yaml:1:1: a MeshConfig is no resource');
    expect(formatProblem(bootstrapProblem(BOOTSTRAP, 'warning'))).toContain('--config-path proxy.yaml --mode validate');
  });
});

describe('JSON that is no document', () => {
  it.each([
    ['package.json', '{"name": "x", "version": "1.0.0"}'],
    ['tsconfig.json with comments', '{\n  // why\n  "compilerOptions": {"strict": true,},\n}'],
    ['a list', '[1, 2]'],
    ['a number', '1'],
    ['nothing', ''],
  ])('%s', (_, content) => expect(isOtherJson(content)).toBe(true));

  it.each([
    ['a resource', '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}'],
    ['a resource without a kind, which has to be told', '{"apiVersion": "v1", "metadata": {"name": "a"}}'],
    ['a resource with a syntax error, which has to be told', '{"apiVersion": "v1", "kind": "Namespace",, }'],
    ['a mesh file', '{"accessLogFile": "/dev/stdout"}'],
  ])('is not %s', (_, content) => expect(isOtherJson(content)).toBe(false));
});
