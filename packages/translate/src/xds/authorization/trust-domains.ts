// Build: principals of policies under all names of the mesh's trust domain.

import type { MeshSnapshot } from '../../model.js';

/** `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT`. */
const PARTS = 5;
/** In a policy it stands for the mesh's own trust domain, whatever that is called. */
const ANY_LOCAL = 'cluster.local';

/**
 * Principals of a rule, with those of the other trust domains that stand for the same. One of a foreign trust domain, and
 * one that says none (`*`, `*​/ns/…`), stays as it is.
 */
export function withAliases(
  principals: readonly string[],
  { trustDomain, meshConfig }: Pick<MeshSnapshot, 'trustDomain' | 'meshConfig'>,
): string[] {
  const known = [trustDomain, ...(meshConfig.trustDomainAliases ?? [])];
  return [...new Set(principals.flatMap((principal) => underAll(principal, known)))];
}

function underAll(principal: string, known: readonly string[]): string[] {
  const [domain = '', ...rest] = principal.split('/');
  if (rest.length !== PARTS - 1 || domain === '*') return [principal];
  const isMeant = (name: string) => (domain.startsWith('*') ? name.endsWith(domain.slice(1)) : name === domain);
  if (domain !== ANY_LOCAL && !known.some(isMeant)) return [principal];
  return known.map((name) => (isMeant(name) ? principal : [name, ...rest].join('/')));
}
