// Kubernetes tests: what a real API server says of our definitions, and of objects of their kinds.

import { waitUntil } from '../harness/wait-until.js';
import type { Cluster } from './harness/cluster.js';

/** What the API server answers when it is asked to create an object; undefined where it would. */
export type Verdict = string | undefined;

export interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly names: { readonly kind: string; readonly plural: string } };
}

export interface WrittenObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: { readonly namespace?: string };
}

/** Creates the definitions and waits until their kinds are served. @returns what it said of each */
export async function createDefinitions(cluster: Cluster, definitions: readonly Definition[]): Promise<Verdict[]> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions?fieldValidation=Strict';
  const answers = await Promise.all(definitions.map((definition) => cluster.request('POST', path, definition)));
  await waitUntil('the kinds to be served', async () => {
    const { body } = await cluster.request('GET', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions');
    const items = body.items as { status?: { conditions?: { type: string; status: string }[] } }[];
    const isServed = ({ status }: (typeof items)[number]) =>
      status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True') === true;
    return items.length >= definitions.length && items.every(isServed);
  });
  return answers.map(({ status, body }) => (status === 201 ? undefined : body.message));
}

/** Asks whether it would take each object, as `kubectl apply --dry-run=server` does. */
export async function tryObjects(
  cluster: Cluster,
  definitions: readonly Definition[],
  objects: readonly WrittenObject[],
): Promise<Verdict[]> {
  const namespaceOf = (object: WrittenObject) => object.metadata?.namespace ?? 'default';
  for (const name of new Set(objects.map(namespaceOf))) {
    await cluster.request('POST', '/api/v1/namespaces', { metadata: { name } });
  }
  return Promise.all(
    objects.map(async (object) => {
      const definition = definitions.find(({ spec }) => spec.names.kind === object.kind);
      if (definition === undefined) return `no definition of ${object.kind}`;
      const kind = `/apis/${object.apiVersion}/namespaces/${namespaceOf(object)}/${definition.spec.names.plural}`;
      const { status, body } = await cluster.request('POST', `${kind}?dryRun=All&fieldValidation=Strict`, object);
      return status === 201 ? undefined : body.message;
    }),
  );
}
