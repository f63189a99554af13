// What is left of a policy when the index has found it: tests joined by and, or, not.
import {
  CONDITION_ALL, CONDITION_ANY, CONDITION_COUNT, CONDITION_KIND, CONDITION_PARTS, CONDITION_TEST,
} from '../../src/rbac/rbac-layout';
import { testHolds } from './tests';

/** Nesting is bounded where rules are compiled. */
export function holds(rules: i32, condition: i32): bool {
  const kind = load<i32>(condition + CONDITION_KIND);
  if (kind == CONDITION_TEST) return testHolds(rules, rules + load<i32>(condition + CONDITION_COUNT));
  let part = condition + CONDITION_PARTS;
  if (kind == CONDITION_ALL) {
    for (let left = load<i32>(condition + CONDITION_COUNT); left > 0; left--) {
      if (!holds(rules, rules + load<i32>(part))) return false;
      part += 4;
    }
    return true;
  }
  if (kind == CONDITION_ANY) {
    for (let left = load<i32>(condition + CONDITION_COUNT); left > 0; left--) {
      if (holds(rules, rules + load<i32>(part))) return true;
      part += 4;
    }
    return false;
  }
  return !holds(rules, rules + load<i32>(part));
}
