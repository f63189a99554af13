// Reference: what becomes of a field that is set, by the same table that documents are checked with.
import { ACTED_ON, type ValueRule } from '../acted-on.js';
import { type Rule, ruleTree } from '../acted-on-check.js';

/** What becomes of a field. `part`: it depends on what stands below. `values`: some values are not acted on. */
export interface FieldStatus {
  readonly verdict: 'acted on' | 'part' | 'warned' | 'refused';
  /** Why, where it is not acted on. */
  readonly reason?: string;
  readonly values?: ValueRule;
}

const NOT_YET = 'not supported yet';

/** The status of a field of a kind, whose path is in the steps of the table (`[]` any item, `*` any key); undefined for kinds without a table. */
export function fieldStatus(kind: string, steps: readonly string[]): FieldStatus | undefined {
  if (!isInTable(kind)) return undefined;
  let rule: Rule = ruleTree(kind);
  const isStored = rule.verdict === 'stored';
  const whole = rule.text;
  if (rule.verdict === 'refused') return { verdict: 'refused', reason: rule.text ?? NOT_YET };
  for (const step of steps) {
    const next: Rule | undefined = rule.children.get(step) ?? (step === '[]' ? undefined : rule.children.get('*'));
    if (!next) return isStored ? { verdict: 'warned', reason: whole ?? '' } : { verdict: 'refused', reason: NOT_YET };
    rule = next;
    const { verdict, text, values } = rule;
    if (verdict === 'done') return { verdict: 'acted on', ...(values && { values }) };
    if (verdict === 'stored') return { verdict: 'warned', reason: text ?? '' };
    if (verdict === 'refused') return { verdict: 'refused', reason: text ?? NOT_YET };
  }
  return isStored ? { verdict: 'warned', reason: whole ?? '' } : { verdict: 'part' };
}

const WORDS = { 'acted on': 'yes', part: 'in part', warned: 'warned', refused: 'refused' } as const;

/**
 * The status as a few words: `refused: calls of unknown hosts would not be held back`. Of a field that shares the lot of
 * the `whole` kind the reason is not said again.
 */
export function statusWords({ verdict, reason, values }: FieldStatus, whole?: FieldStatus): string {
  const words = WORDS[verdict];
  if (whole && isWhole(whole) && whole.verdict === verdict && whole.reason === reason) return words;
  if (reason !== undefined && reason !== '') return `${words}: ${reason}`;
  if (!values) return words;
  const others = values.others ? 'others warned' : 'others refused';
  const stored = values.stored ? `; warned: ${Object.keys(values.stored).join(', ')}` : '';
  return `${words}: ${values.done.join(', ')}${stored}; ${others}`;
}

/** Whether a status is that of every field of the kind. */
export function isWhole({ verdict }: FieldStatus): boolean {
  return verdict === 'warned' || verdict === 'refused';
}

function isInTable(kind: string): kind is keyof typeof ACTED_ON {
  return Object.hasOwn(ACTED_ON, kind);
}
