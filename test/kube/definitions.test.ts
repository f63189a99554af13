// Kubernetes tests: the API server takes every definition of deploy/crds, rules of CEL and what they cost included, takes the
// documents that people apply, and refuses what its schema can tell.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isIstioKind, parseDocuments } from '@lateen/istio-config';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';
import {
  createDefinitions,
  type Definition,
  tryObjects,
  type Verdict,
  type WrittenObject,
} from './api-server-checks.js';
import { type Cluster, startCluster } from './harness/cluster.js';
import { requireKubePrograms } from './harness/kube-programs.js';

const programs = requireKubePrograms();
const FOLDER = join(REPOSITORY, 'deploy', 'crds');
const files = readdirSync(FOLDER).filter((name) => name !== 'kustomization.yaml');
const definitions = files.map((name) => parse(readFileSync(join(FOLDER, name), 'utf8')) as Definition);

interface Written {
  readonly file: string;
  readonly object: WrittenObject;
}

/** The documents of our kinds in a folder that `validate` accepts. */
function documentsIn(folder: string): Written[] {
  const names = readdirSync(join(REPOSITORY, folder), { recursive: true, encoding: 'utf8' });
  return names
    .filter((name) => /\.ya?ml$/.test(name) && !name.includes('node_modules'))
    .flatMap((name) => {
      const file = join(folder, name);
      const content = readFileSync(join(REPOSITORY, file), 'utf8');
      if (!/^kind:/m.test(content)) return [];
      const { problems } = parseDocuments([{ name: file, content }], { defaultNamespace: 'default' });
      if (problems.some(({ severity }) => severity === 'error')) return [];
      return parseAllDocuments(content, { merge: true }).flatMap((document) => {
        const object = document.toJS() as Partial<WrittenObject> | null;
        return object?.kind !== undefined && isIstioKind(object.kind)
          ? [{ file, object: object as WrittenObject }]
          : [];
      });
    });
}

describe.skipIf(programs === undefined)('the API server', () => {
  let cluster: Cluster;
  let said: Verdict[];
  beforeAll(async () => {
    cluster = await startCluster({ programs: programs! });
    said = await createDefinitions(cluster, definitions);
  });
  afterAll(() => cluster?.stop());

  test('takes every definition', () => {
    expect(said).toEqual(definitions.map(() => undefined));
  });

  test.each(['examples', 'test/conformance', 'packages/istio-config/test/cases'])(
    'takes the documents of %s',
    async (folder) => {
      const written = documentsIn(folder);
      expect(written).not.toEqual([]);
      const objects = written.map(({ object }) => object);
      const verdicts = await tryObjects(cluster, definitions, objects);
      const faults = verdicts.flatMap((fault, index) =>
        fault === undefined ? [] : `${written[index]!.file}: ${fault}`,
      );
      expect(faults).toEqual([]);
    },
  );

  const rule = (spec: object) => ({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'shop', namespace: 'default' },
    spec,
  });
  const check = (spec: object) => ({
    apiVersion: 'lateen.io/v1alpha1',
    kind: 'HealthCheck',
    metadata: { name: 'shop', namespace: 'default' },
    spec,
  });

  test.each<[string, WrittenObject, RegExp]>([
    ['a value of another type', rule({ hosts: 'shop' }), /spec\.hosts: Invalid value: "string"/],
    ['an unknown field', rule({ hosts: ['shop'], htttp: [] }), /unknown field "spec\.htttp"/],
    [
      'an unknown field in a list',
      rule({ hosts: ['shop'], http: [{ timeot: '1s' }] }),
      /unknown field "spec\.http\[0\]\.timeot"/,
    ],
    ['a duration that is none', rule({ hosts: ['shop'], http: [{ timeout: '5q' }] }), /spec\.http\[0\]\.timeout/],
    [
      'two of a one-of in a list',
      rule({ hosts: ['shop'], http: [{ match: [{ uri: { exact: '/', prefix: '/' } }] }] }),
      /uri/,
    ],
    ['none of a one-of', check({ host: 'shop' }), /exactly one of http, grpc, tcp must be set/],
    ['two of a one-of', check({ host: 'shop', tcp: {}, grpc: {} }), /exactly one of http, grpc, tcp must be set/],
    ['a field that is missing', check({ tcp: {} }), /spec\.host: Required value/],
  ])('refuses %s', async (_what, object, words) => {
    expect(await tryObjects(cluster, definitions, [object])).toEqual([expect.stringMatching(words)]);
  });
});
