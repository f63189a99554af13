// Kubernetes: what the annotation for a pod's proxy may say.

import { type ConfigObject, parseDocuments } from '@lateen/istio-config';
import { expect, test } from 'vitest';
import { readDeployment } from './read-deployment.js';

function problemsWith(annotation: string): string[] {
  const content = `apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata:
      labels: { app: web }
      annotations:
        lateen.io/local-command: '["true"]'
        proxy.istio.io/config: ${JSON.stringify(annotation)}
    spec: { containers: [{ name: web }] }
`;
  const { objects } = parseDocuments([{ name: 'in.yaml', content }], { defaultNamespace: 'default' });
  const problems: string[] = [];
  readDeployment(objects[0] as ConfigObject<'Deployment'>, '/', (path, severity, code, message) =>
    problems.push(`${path.at(-1)} ${severity} ${code} ${message}`),
  );
  return problems;
}

test('what is acted on is taken without a word', () => {
  expect(problemsWith('{ concurrency: 4, proxyMetadata: { A: b }, terminationDrainDuration: 2s }')).toEqual([]);
});

test.each([
  ['holdApplicationUntilProxyStarts: true', 'warning not-acted-on holdApplicationUntilProxyStarts: '],
  [
    'proxyMetadata: { NODE_OPTIONS: "--require x" }',
    'error unsupported proxyMetadata.NODE_OPTIONS: `NODE_OPTIONS` changes',
  ],
  ['configPath: /tmp', 'error unsupported configPath: `configPath` is not supported yet'],
  ['concurency: 1', 'error unknown-field concurency: '],
  ['{', 'error format the value is not YAML'],
])('%s is told by name', (annotation, problem) => {
  expect(problemsWith(annotation)).toEqual([expect.stringContaining(`proxy.istio.io/config ${problem}`)]);
});
