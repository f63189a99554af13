// Tests of telling the two families of documents apart without moving a line.
import { parseDocuments } from '@lateen/istio-config';
import { describe, expect, it } from 'vitest';
import { istioFiles } from './split-documents.js';

const MIXED = `# a comment
apiVersion: v1
kind: ServiceAccount
metadata: {name: web}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web}
--- # the next
apiVersion: v1
kind: ServiceAccount
metadata: {name: other}
`;

describe('split documents', () => {
  it('keeps the Istio documents on their lines and empties the others', () => {
    const files = [{ name: 'mixed.yaml', content: MIXED }];
    const { objects, problems } = parseDocuments(files, { defaultNamespace: 'default' });
    expect(problems).toEqual([]);
    const [file] = istioFiles(files, objects);
    const lines = file!.content.split('\n');
    expect(lines[6]).toBe('kind: DestinationRule');
    expect(lines.filter((line) => line.includes('ServiceAccount'))).toEqual([]);

    const again = parseDocuments([file!], { defaultNamespace: 'default', kubernetes: false });
    expect(again.problems).toEqual([]);
    expect(again.objects.map(({ kind, source }) => `${kind} ${source.line}`)).toEqual(['DestinationRule 6']);
  });

  it('leaves files without Istio documents out', () => {
    const files = [{ name: 'a.yaml', content: MIXED.split('---')[0]! }];
    const { objects } = parseDocuments(files, { defaultNamespace: 'default' });
    expect(istioFiles(files, objects)).toEqual([]);
  });
});
