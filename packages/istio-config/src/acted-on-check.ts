// Acted on: walks a spec beside the table and reports what is set but not acted on.
import { ACTED_ON, type ActedOn, type ValueRule } from './acted-on.js';
import type { FaultList } from './declare/fault.js';
import type { FieldPath } from './problem.js';

/** A place in the table. A node with children and no verdict is only on the way to others. */
export interface Rule {
  readonly children: Map<string, Rule>;
  verdict?: 'done' | 'stored' | 'refused';
  text?: string;
  values?: ValueRule;
}

/** Reports every field that is refused (`unsupported`) or accepted without effect (`not-acted-on`). */
export function checkActedOn(kind: keyof typeof ACTED_ON, spec: object, faults: FaultList): void {
  const root = ruleTree(kind);
  if (root.verdict === 'stored') {
    faults.warning([], 'not-acted-on', `${kind} is accepted, but not acted on yet (${root.text}); it may stay`);
  }
  if (root.verdict === 'refused') {
    faults.error([], 'unsupported', `kind ${kind} is not supported yet; ${root.text}`);
    return;
  }
  walk(spec, root, [], root.verdict === 'stored', faults);
}

const trees = new Map<string, Rule>();

/** The table of a kind as a tree. */
export function ruleTree(kind: keyof typeof ACTED_ON): Rule {
  let tree = trees.get(kind);
  if (!tree) {
    tree = compile(ACTED_ON[kind]);
    trees.set(kind, tree);
  }
  return tree;
}

function compile({ done, stored, refused = {}, values = {} }: ActedOn): Rule {
  const root: Rule = { children: new Map() };
  for (const path of done.flatMap(expandPath)) ruleAt(root, path).verdict = 'done';
  for (const [verdict, table] of [['stored', stored] as const, ['refused', refused] as const]) {
    for (const [pattern, text] of Object.entries(table)) {
      for (const path of expandPath(pattern)) Object.assign(ruleAt(root, path), { verdict, text });
    }
  }
  for (const [pattern, rule] of Object.entries(values)) {
    for (const path of expandPath(pattern)) ruleAt(root, path).values = rule;
  }
  return root;
}

/** Writes `a.{b,c}[]` out as `a.b[]` and `a.c[]`. */
export function expandPath(pattern: string): string[] {
  const braces = /\{([^}]*)\}/.exec(pattern);
  if (!braces) return [pattern];
  const before = pattern.slice(0, braces.index);
  const after = pattern.slice(braces.index + braces[0].length);
  return braces[1]!.split(',').flatMap((choice) => expandPath(before + choice + after));
}

/** The steps of a table's path: `a[].*` is a, [], *. */
export function pathSteps(path: string): string[] {
  return path === '' ? [] : path.replaceAll('[]', '.[]').split('.');
}

function ruleAt(root: Rule, path: string): Rule {
  let rule = root;
  for (const step of pathSteps(path)) {
    let next = rule.children.get(step);
    if (!next) {
      next = { children: new Map() };
      rule.children.set(step, next);
    }
    rule = next;
  }
  return rule;
}

function walk(value: unknown, rule: Rule, path: FieldPath, accepted: boolean, faults: FaultList): void {
  if (Array.isArray(value)) {
    const item = rule.children.get('[]');
    if (!item) return;
    for (const [index, element] of value.entries()) walk(element, item, [...path, index], accepted, faults);
    return;
  }
  if (typeof value !== 'object' || value === null) return;
  for (const [key, child] of Object.entries(value)) {
    if (child === undefined) continue;
    const next = rule.children.get(key) ?? rule.children.get('*');
    checkField(child, next, [...path, key], accepted, faults);
  }
}

function checkField(
  value: unknown,
  rule: Rule | undefined,
  path: FieldPath,
  accepted: boolean,
  faults: FaultList,
): void {
  const name = path.findLast((part) => typeof part === 'string');
  if (!rule) {
    if (!accepted) faults.error(path, 'unsupported', `\`${name}\` is not supported yet; remove it`, 'key');
    return;
  }
  if (rule.values && typeof value === 'string') checkValue(value, rule.values, path, faults);
  if (rule.verdict === 'refused') {
    faults.error(path, 'unsupported', `\`${name}\` is not supported yet (${rule.text}); remove it`, 'key');
  } else if (rule.verdict === 'stored') {
    faults.warning(
      path,
      'not-acted-on',
      `\`${name}\` is accepted, but not acted on yet (${rule.text}); it may stay`,
      'key',
    );
  } else if (rule.verdict === undefined) {
    walk(value, rule, path, accepted, faults);
  }
}

function checkValue(value: string, rule: ValueRule, path: FieldPath, faults: FaultList): void {
  if (rule.done.includes(value)) return;
  const stored = rule.stored && Object.hasOwn(rule.stored, value) ? rule.stored[value] : undefined;
  if (stored)
    faults.warning(path, 'not-acted-on', `\`${value}\` is accepted, but not acted on yet (${stored}); it may stay`);
  else if (rule.others) faults.warning(path, 'not-acted-on', `\`${value}\` ${rule.others}`);
  // A value that is wrong anyway has been reported; what to write in its place was said there.
  else if (!faults.hasErrorAt(path))
    faults.error(path, 'unsupported', `\`${value}\` is not supported yet; ${rule.instead}`);
}
