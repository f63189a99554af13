// SPIFFE ids: the form is strict, since a lax one would let two texts mean one identity.
import { describe, expect, it } from 'vitest';
import { formatSpiffeId, parseSpiffeId } from './spiffe-id.js';

describe('parseSpiffeId', () => {
  it('reads what formatSpiffeId writes', () => {
    const id = formatSpiffeId({ trustDomain: 'cluster.local', namespace: 'default', serviceAccount: 'book.info-1' });
    expect(id).toBe('spiffe://cluster.local/ns/default/sa/book.info-1');
    expect(parseSpiffeId(id)).toEqual({
      id,
      trustDomain: 'cluster.local',
      namespace: 'default',
      serviceAccount: 'book.info-1',
    });
  });

  it.each([
    '',
    'spiffe://',
    'SPIFFE://cluster.local/ns/a/sa/b',
    'spiffe://Cluster.local/ns/a/sa/b',
    'spiffe://cluster.local:80/ns/a/sa/b',
    'spiffe://user@cluster.local/ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa/b/',
    'spiffe://cluster.local/ns/a/sa/b?x',
    'spiffe://cluster.local/ns/a/sa/b#x',
    'spiffe://cluster.local/ns/../sa/b',
    'spiffe://cluster.local/ns/a/sa/%62',
    'spiffe://cluster.local//ns/a/sa/b',
    'spiffe://cluster.local/ns/a/sa/b\0',
    'spiffe://cluster.local/ns/a/sa/b\n',
    'spiffe://cluster.local/sa/b/ns/a',
    'spiffe:///ns/a/sa/b',
    `spiffe://cluster.local/ns/a/sa/${'b'.repeat(3000)}`,
  ])('refuses %j', (text) => {
    expect(() => parseSpiffeId(text)).toThrow();
  });
});

describe('formatSpiffeId', () => {
  it('refuses parts that would change the meaning', () => {
    expect(() => formatSpiffeId({ trustDomain: 'a/b', namespace: 'a', serviceAccount: 'b' })).toThrow(/trust domain/);
    expect(() => formatSpiffeId({ trustDomain: 'a', namespace: 'a/sa/b', serviceAccount: 'b' })).toThrow(/namespace/);
    expect(() => formatSpiffeId({ trustDomain: 'a', namespace: 'a', serviceAccount: '' })).toThrow(/service account/);
  });
});
