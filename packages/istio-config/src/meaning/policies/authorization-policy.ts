// Meaning of AuthorizationPolicy.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type {
  AuthorizationOperation,
  AuthorizationPolicySpec,
  AuthorizationRule,
  AuthorizationSource,
} from '../../kinds/policies/authorization-policy.js';
import type { FieldPath } from '../../problem.js';
import { type MeaningRule, present } from '../rule.js';
import { checkAttachment } from './attachment.js';
import { checkCondition } from './authorization-condition.js';
import { pathTemplateFault, portFault, serviceAccountFault, wildcardRemark } from './authorization-values.js';

type Source = Loose<AuthorizationSource>;
type Operation = Loose<AuthorizationOperation>;
type Rule = Loose<AuthorizationRule>;

/** Sources that the bytes of a TCP connection show too; of requestPrincipals only a request knows. */
const TCP_SOURCES = [
  'principals',
  'notPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'ipBlocks',
  'notIpBlocks',
  'remoteIpBlocks',
  'notRemoteIpBlocks',
] as const;
const NOT_WITH_CUSTOM = [...TCP_SOURCES.slice(0, 6), 'requestPrincipals', 'notRequestPrincipals'] as const;
/** Lists whose values may have a wildcard at an end. */
const WITH_WILDCARDS = {
  source: ['principals', 'notPrincipals', 'requestPrincipals', 'notRequestPrincipals'],
  operation: ['hosts', 'notHosts', 'methods', 'notMethods', 'paths', 'notPaths'],
} as const;
const NOT_WITH_ACCOUNTS = ['principals', 'notPrincipals', 'namespaces', 'notNamespaces'] as const;

export const checkAuthorizationPolicy: MeaningRule<AuthorizationPolicySpec> = (spec, faults) => {
  checkAttachment(spec, faults);
  checkAction(spec, faults);
  for (const [index, rule] of present(spec.rules)) {
    const path = ['rules', index];
    checkFrom(rule, path, spec.action, faults);
    checkTo(rule, path, faults);
    for (const [at, condition] of present(rule.when)) {
      checkCondition(condition, [...path, 'when', at], spec.action, faults);
    }
    if (spec.action === 'DENY') checkTcp(rule, path, faults);
  }
};

function checkAction({ action, provider, rules, ...spec }: Loose<AuthorizationPolicySpec>, faults: FaultList): void {
  const hasWrongAction = 'action' in spec;
  if ((action === 'DENY' || action === 'CUSTOM') && (rules === undefined || rules.length === 0)) {
    const message = `${action} without rules is for no request; add \`rules\` (\`- {}\` is a rule for every request)`;
    faults.error(rules === undefined ? [] : ['rules'], 'required', message);
  }
  if (action === 'CUSTOM') {
    if (provider === undefined || provider.name === undefined || provider.name === '') {
      const message = 'action CUSTOM needs a provider; write `provider.name`, a name of extensionProviders';
      faults.error(provider === undefined ? ['action'] : ['provider'], 'required', message);
    }
  } else if (provider !== undefined && !hasWrongAction) {
    const message = `\`provider\` is for action CUSTOM only, not for ${action ?? 'ALLOW'}; remove it`;
    faults.error(['provider'], 'one-of', message, 'key');
  }
}

function isSet(list: readonly unknown[] | undefined): boolean {
  return list !== undefined && list.length > 0;
}

/** True for an item that says nothing. What was wrong in it is there as undefined, and has been reported. */
function isEmpty(item: object): boolean {
  return Object.values(item).every((list) => Array.isArray(list) && list.length === 0);
}

function checkFrom({ from }: Rule, rulePath: FieldPath, action: string | undefined, faults: FaultList): void {
  if (from?.length === 0) {
    faults.error([...rulePath, 'from'], 'required', '`from` is empty; add a source, or remove it for everybody', 'key');
  }
  for (const [index, item] of present(from)) {
    const path = [...rulePath, 'from', index];
    if (!('source' in item)) faults.error(path, 'required', '`source` is required in From; add it');
    if (item.source) checkSource(item.source, [...path, 'source'], action, faults);
  }
}

function checkSource(source: Source, path: FieldPath, action: string | undefined, faults: FaultList): void {
  if (isEmpty(source)) {
    faults.error(path, 'required', 'the source is empty; say who is meant, or remove `from` for everybody');
  }
  const accounts = (['serviceAccounts', 'notServiceAccounts'] as const).find((field) => isSet(source[field]));
  const other = NOT_WITH_ACCOUNTS.find((field) => isSet(source[field]));
  if (accounts && other) {
    const message = `\`${accounts}\` and \`${other}\` exclude each other in a source; give each a source of its own`;
    faults.error([...path, accounts], 'one-of', message, 'key');
  }
  for (const field of ['serviceAccounts', 'notServiceAccounts'] as const) {
    for (const [index, account] of present(source[field])) {
      const wrong = serviceAccountFault(account);
      if (wrong) faults.error([...path, field, index], 'name', wrong);
    }
  }
  for (const field of WITH_WILDCARDS.source) warnOfWildcards(source[field], [...path, field], faults);
  if (action !== 'CUSTOM') return;
  for (const field of NOT_WITH_CUSTOM) {
    if (!isSet(source[field])) continue;
    const message = `\`${field}\` cannot be used with action CUSTOM, which is asked before it is known; remove it`;
    faults.error([...path, field], 'custom', message, 'key');
  }
}

function checkTo({ to }: Rule, rulePath: FieldPath, faults: FaultList): void {
  if (to?.length === 0) {
    const message = '`to` is empty; add an operation, or remove it for everything';
    faults.error([...rulePath, 'to'], 'required', message, 'key');
  }
  for (const [index, item] of present(to)) {
    const path = [...rulePath, 'to', index];
    if (!('operation' in item)) faults.error(path, 'required', '`operation` is required in To; add it');
    if (item.operation) checkOperation(item.operation, [...path, 'operation'], faults);
  }
}

function checkOperation(operation: Operation, path: FieldPath, faults: FaultList): void {
  if (isEmpty(operation)) {
    faults.error(path, 'required', 'the operation is empty; say what is meant, or remove `to` for everything');
  }
  for (const field of ['ports', 'notPorts'] as const) {
    for (const [index, port] of present(operation[field])) {
      const wrong = portFault(port);
      if (wrong) faults.error([...path, field, index], 'range', wrong);
    }
  }
  for (const field of ['paths', 'notPaths'] as const) {
    for (const [index, value] of present(operation[field])) {
      const wrong = pathTemplateFault(value);
      if (wrong) faults.error([...path, field, index], 'path', wrong);
    }
  }
  for (const field of WITH_WILDCARDS.operation) warnOfWildcards(operation[field], [...path, field], faults);
}

function warnOfWildcards(list: readonly (string | undefined)[] | undefined, path: FieldPath, faults: FaultList): void {
  for (const [index, value] of present(list)) {
    const remark = wildcardRemark(value);
    if (remark) faults.warning([...path, index], 'wildcard', remark);
  }
}

/** A DENY rule that speaks of requests only denies everything at a port that is plain TCP. */
function checkTcp({ from, to }: Rule, path: FieldPath, faults: FaultList): void {
  const sources = [...present(from)].flatMap(([, { source }]) => (source ? [source] : []));
  const operations = [...present(to)].flatMap(([, { operation }]) => (operation ? [operation] : []));
  const knowsPort = operations.some((operation) => 'ports' in operation || 'notPorts' in operation);
  const knowsPeer = sources.some((source) => TCP_SOURCES.some((field) => field in source));
  const onlyRequests = operations.length > 0 ? !knowsPort : sources.length > 0 && !knowsPeer;
  if (!onlyRequests) return;
  const message =
    'the rule speaks of requests only, so at TCP ports it denies everything; name the `ports` that are meant';
  faults.warning(path, 'tcp', message);
}
