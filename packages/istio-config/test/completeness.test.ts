// The declared kinds have exactly the fields, words and versions of Istio's published API, so that none is forgotten.
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { childSchema, unwrapSchema } from '../src/declare/message.js';
import { describeKind, ISTIO_KINDS } from '../src/index.js';
import { specSchema } from '../src/kinds/registry.js';
import { isPublished, type PublishedType, publishedSpec } from './published-types.js';

/** Every field path below a published type, and the words of every enumeration. */
function publishedPaths(type: PublishedType, path = ''): string[] {
  switch (type.kind) {
    case 'scalar':
      return [];
    case 'words':
      return type.words.map((word) => `${path}=${word}`);
    case 'list':
      return publishedPaths(type.item, `${path}[]`);
    case 'map':
      return publishedPaths(type.item, `${path}.*`);
    case 'object':
      return Object.entries(type.fields).flatMap(([name, field]) => {
        const at = path === '' ? name : `${path}.${name}`;
        return [at, ...publishedPaths(field, at)];
      });
  }
}

/** The same of a declared schema. */
function declaredPaths(schema: z.core.$ZodType, path = ''): string[] {
  const bare = unwrapSchema(schema);
  if (bare instanceof z.ZodEnum) return bare.options.map((word) => `${path}=${word}`);
  if (bare instanceof z.ZodArray) return declaredPaths(bare.element, `${path}[]`);
  if (bare instanceof z.ZodRecord) return declaredPaths(bare.valueType, `${path}.*`);
  if (!(bare instanceof z.ZodObject)) return [];
  return Object.keys(bare.shape).flatMap((name) => {
    const at = path === '' ? name : `${path}.${name}`;
    const child = childSchema(bare, name);
    return [at, ...(child ? declaredPaths(child, at) : [])];
  });
}

const VERSIONS = ['v1alpha1', 'v1alpha3', 'v1beta1', 'v1'];

describe.each(ISTIO_KINDS)('%s', (kind) => {
  const { group, versions } = describeKind(kind);

  test('has the published versions', () => {
    const published = VERSIONS.filter((version) => isPublished(group, version, kind));
    expect([...versions].sort()).toEqual(published.sort());
  });

  test.each(versions)('%s has the published fields', (version) => {
    const published = publishedPaths(publishedSpec(group, version, kind)).sort();
    expect(declaredPaths(specSchema(kind)).sort()).toEqual(published);
    expect(published.length).toBeGreaterThan(3);
  });
});
