// RBAC: the filters that decide who may (envoy.extensions.filters.http.rbac.v3 and filters.network.rbac.v3), as compiled.

import { type Core, RBAC_NO_MATCH, RBAC_RULES_GONE, type RulesPlace } from '@lateen/filters-wasm';
import type { RbacCounts } from './rbac-counts.js';

/** Compiled rules, and what their policies are called. */
export interface RuleSet {
  readonly place: RulesPlace;
  readonly action: 'allow' | 'deny' | 'log';
  readonly policyNames: readonly string[];
}

export interface RbacFilter {
  /** Null: there are none, and everything passes. */
  readonly rules: RuleSet | null;
  /** Decide, are counted and logged, and let everything pass. */
  readonly shadow: RuleSet | null;
  /** Before the names of dynamic metadata. */
  readonly rulesPrefix: string;
  readonly shadowPrefix: string;
  readonly counts: RbacCounts;
}

/** What is decided about: the record of its connection, and 1 where the client's side is TLS. */
export interface RuledParty {
  readonly record: number;
  readonly secure: number;
}

/** Told what filters found, as Envoy's dynamic metadata. */
export interface RbacNotes {
  noteMetadata(name: string, value: string): unknown;
}

/** REQ_* is filled where it is about a request; `listenerRecord` is 0 where it is about a connection. Empty where the filter lets it pass, else the response code details. */
export function refusalOf(
  core: Core,
  filter: RbacFilter,
  listenerRecord: number,
  party: RuledParty,
  notes: RbacNotes | null,
): string {
  const { rules, shadow, counts } = filter;
  if (shadow !== null) {
    const policy = check(core, shadow, listenerRecord, party);
    const allowed = allows(shadow, policy);
    if (allowed) counts.shadowAllowed++;
    else counts.shadowDenied++;
    if (notes !== null) note(notes, `${filter.shadowPrefix}shadow`, shadow, policy, allowed);
  }
  if (rules === null) return '';
  const policy = check(core, rules, listenerRecord, party);
  const allowed = allows(rules, policy);
  if (allowed) counts.allowed++;
  else counts.denied++;
  if (notes !== null) {
    note(notes, `${filter.rulesPrefix}enforced`, rules, policy, allowed);
    if (rules.action === 'log') notes.noteMetadata(ACCESS_LOG_HINT, String(policy >= 0));
  }
  return allowed
    ? ''
    : `rbac_access_denied_matched_policy[${(rules.policyNames[policy] ?? 'none').replaceAll(/\s/g, '_')}]`;
}

/** Where nothing can be decided nothing may pass. */
export const NO_ROOM = 'rbac_access_denied_matched_policy[none]';
/** The namespace of what the filters say of themselves, and what rules that log say. */
export const RBAC_METADATA = 'envoy.filters.http.rbac';
export const ACCESS_LOG_HINT = 'envoy.common:access_log_hint';

function check(core: Core, { place }: RuleSet, listenerRecord: number, { record, secure }: RuledParty): number {
  return core.wasm.checkRules(place.offset, place.serial, listenerRecord, record, secure);
}

/** Rules that are gone allow nothing, whatever they were. */
function allows({ action }: RuleSet, policy: number): boolean {
  if (policy === RBAC_RULES_GONE) return false;
  return action === 'log' || (action === 'allow') === (policy !== RBAC_NO_MATCH);
}

function note(notes: RbacNotes, prefix: string, { policyNames }: RuleSet, policy: number, allowed: boolean): void {
  const name = policyNames[policy];
  if (name !== undefined) notes.noteMetadata(`${RBAC_METADATA}:${prefix}_effective_policy_id`, name);
  notes.noteMetadata(`${RBAC_METADATA}:${prefix}_engine_result`, allowed ? 'allowed' : 'denied');
}
