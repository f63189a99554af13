// Meaning of AuthorizationPolicy: a condition of `when`, and the attributes that there are.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import { nearestWord } from '../../declare/suggest.js';
import type { AuthorizationRule } from '../../kinds/policies/authorization-policy.js';
import type { FieldPath } from '../../problem.js';
import { present } from '../rule.js';
import { addressFault, portFault, serviceAccountFault, wildcardRemark } from './authorization-values.js';

type Condition = Loose<NonNullable<AuthorizationRule['when']>[number]>;

/** What the values of an attribute look like; true: anything. */
type ValueCheck = true | ((value: string) => string | undefined);

const ATTRIBUTES: Readonly<Record<string, ValueCheck>> = {
  'source.ip': addressFault,
  'remote.ip': addressFault,
  'source.namespace': true,
  'source.serviceAccount': serviceAccountFault,
  'source.principal': true,
  'request.auth.principal': true,
  'request.auth.audiences': true,
  'request.auth.presenter': true,
  'destination.ip': addressFault,
  'destination.port': portFault,
  'connection.sni': true,
};
/** What Envoy's filters tell: a name in brackets follows theirs. */
const OF_FILTERS = 'experimental.envoy.filters.';
/** Attributes with a name in brackets. */
const NAMED = ['request.headers', 'request.experimental.inline.headers', 'request.auth.claims', OF_FILTERS];
/** Attributes of an older API, and what to write. */
const GONE: Readonly<Record<string, string>> = {
  'destination.namespace': 'put the policy into that namespace',
  'destination.labels': 'use the selector of the policy',
  'destination.name': 'use the selector of the policy',
  'destination.user': 'use the selector of the policy',
};
/** Attributes that are not known yet when the provider of a CUSTOM policy is asked. */
const NOT_WITH_CUSTOM = /^(?:source\.(?:namespace|serviceAccount|principal)$|request\.auth\.)/;
const MAX_ACCOUNTS = 16;

/** Checks one condition. */
export function checkCondition(
  condition: Condition,
  path: FieldPath,
  action: string | undefined,
  faults: FaultList,
): void {
  const { key } = condition;
  if (key === undefined || key === '') return;
  if (!hasValues(condition, 'values') && !hasValues(condition, 'notValues')) {
    faults.error(path, 'required', 'the condition has no values; add `values` or `notValues`');
  }
  const check = checkKey(key, [...path, 'key'], faults);
  for (const field of ['values', 'notValues'] as const) {
    for (const [index, value] of present(condition[field])) {
      const wrong = value === '' ? 'an empty value is not allowed; remove it' : check !== true && check?.(value);
      if (wrong) faults.error([...path, field, index], 'value', wrong);
      const remark = key === 'source.namespace' ? undefined : wildcardRemark(value);
      if (!wrong && remark) faults.warning([...path, field, index], 'wildcard', remark);
    }
    if (check === serviceAccountFault && (condition[field]?.length ?? 0) > MAX_ACCOUNTS) {
      faults.error([...path, field, MAX_ACCOUNTS], 'range', `at most ${MAX_ACCOUNTS} service accounts; remove some`);
    }
  }
  if (key.startsWith(OF_FILTERS)) {
    const message = `\`${key}\` is not supported yet: no filter tells such things; remove it`;
    faults.error([...path, 'key'], 'unsupported', message);
  }
  if (action === 'CUSTOM' && NOT_WITH_CUSTOM.test(key)) {
    const message = `\`${key}\` cannot be used with action CUSTOM, which is asked before it is known; remove it`;
    faults.error([...path, 'key'], 'custom', message);
  }
}

/** Whether the list is there and not empty; one that was wrong has been reported. */
function hasValues(condition: Condition, field: 'values' | 'notValues'): boolean {
  const values = condition[field];
  return values === undefined ? field in condition : values.length > 0;
}

/** Reports a key that is no attribute. Returns what its values have to look like. */
function checkKey(key: string, path: FieldPath, faults: FaultList): ValueCheck | undefined {
  if (Object.hasOwn(ATTRIBUTES, key)) return ATTRIBUTES[key];
  const named = NAMED.find((prefix) => key.startsWith(prefix));
  if (named !== undefined) {
    const open = key.indexOf('[');
    if (open > 0 && key.endsWith(']') && open < key.length - 2) return true;
    const example = `${named === OF_FILTERS ? `${named}a.b` : named}[NAME]`;
    faults.error(path, 'attribute', `\`${key}\` has no name in brackets; write it as ${example}`);
    return undefined;
  }
  const gone = Object.keys(GONE).find((old) => key === old || (old === 'destination.labels' && key.startsWith(old)));
  const nearest = nearestWord(key, [...Object.keys(ATTRIBUTES), ...NAMED.slice(0, 3)]);
  const advice = gone
    ? GONE[gone]
    : nearest
      ? `did you mean \`${nearest}\`?`
      : 'write one such as request.headers[NAME]';
  faults.error(path, 'attribute', `\`${key}\` is ${gone ? 'no longer' : 'not'} an attribute of a condition; ${advice}`);
  return undefined;
}
