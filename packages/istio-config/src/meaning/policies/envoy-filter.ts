// Meaning of EnvoyFilter: patch, match and the kind of object have to fit each other.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { EnvoyConfigPatch, EnvoyFilterSpec } from '../../kinds/policies/envoy-filter.js';
import type { FieldPath } from '../../problem.js';
import { checkSelector, type MeaningRule, present } from '../rule.js';
import { checkTargetReferences } from './attachment.js';
import { checkPatchValue, currentFilterName } from './envoy-patch-value.js';

type ConfigPatch = Loose<EnvoyConfigPatch>;
type Match = NonNullable<ConfigPatch['match']>;

/** Which part of `match` goes with which kind of object. */
const MATCH_OF: Readonly<Record<string, 'listener' | 'routeConfiguration' | 'cluster'>> = {
  LISTENER: 'listener',
  FILTER_CHAIN: 'listener',
  NETWORK_FILTER: 'listener',
  HTTP_FILTER: 'listener',
  ROUTE_CONFIGURATION: 'routeConfiguration',
  VIRTUAL_HOST: 'routeConfiguration',
  HTTP_ROUTE: 'routeConfiguration',
  CLUSTER: 'cluster',
};
const MATCHES = ['listener', 'routeConfiguration', 'cluster'] as const;
const CONNECTION_MANAGERS = ['envoy.filters.network.http_connection_manager', 'envoy.http_connection_manager'];

export const checkEnvoyFilter: MeaningRule<EnvoyFilterSpec> = (spec, faults) => {
  const message =
    'an EnvoyFilter depends on how proxies are configured, which may change; use another kind where there is one';
  faults.warning([], 'internal', message);
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  checkTargetReferences(spec.targetRefs, ['targetRefs'], faults);
  for (const [index, patch] of present(spec.configPatches)) checkConfigPatch(patch, ['configPatches', index], faults);
};

function checkConfigPatch(config: ConfigPatch, path: FieldPath, faults: FaultList): void {
  const { applyTo, match, patch } = config;
  if (applyTo === 'INVALID' || !('applyTo' in config)) {
    const message = '`applyTo` is required in EnvoyConfigObjectPatch; say what is patched, such as HTTP_FILTER';
    faults.error(applyTo === undefined ? path : [...path, 'applyTo'], 'required', message);
  }
  if (match) checkMatch(match, applyTo, [...path, 'match'], faults);
  if (!('patch' in config)) faults.error(path, 'required', '`patch` is required in EnvoyConfigObjectPatch; add it');
  if (!patch) return;
  const at = [...path, 'patch'];
  const { operation, value } = patch;
  if (operation === 'INVALID' || !('operation' in patch)) {
    const message = '`operation` is required in Patch; say what is done, such as MERGE';
    faults.error(operation === undefined ? at : [...at, 'operation'], 'required', message);
  } else if (operation !== undefined && operation !== 'REMOVE' && !('value' in patch)) {
    faults.error(at, 'required', `operation ${operation} needs a value; add \`value\``);
  }
  if (value) checkPatchValue(value, applyTo, operation, [...at, 'value'], faults);
}

function checkMatch(match: Match, applyTo: string | undefined, path: FieldPath, faults: FaultList): void {
  checkContext(match, path, faults);
  const wanted = applyTo === undefined || !Object.hasOwn(MATCH_OF, applyTo) ? undefined : MATCH_OF[applyTo];
  const other = MATCHES.find((one) => one in match && one !== wanted);
  if (wanted && other) {
    const message = `\`${other}\` cannot be matched where applyTo is ${applyTo}; write \`${wanted}\`, or remove it`;
    faults.error([...path, other], 'match', message, 'key');
  }
  if (match.listener?.filterChain?.filter && wanted === 'listener') {
    checkFilter(match.listener.filterChain.filter, applyTo, [...path, 'listener', 'filterChain', 'filter'], faults);
  }
}

/** What is matched at a waypoint, and only there, is `waypoint`. */
function checkContext(match: Match, path: FieldPath, faults: FaultList): void {
  if ('waypoint' in match && match.context !== 'WAYPOINT' && (match.context !== undefined || !('context' in match))) {
    faults.error(
      [...path, 'waypoint'],
      'match',
      '`waypoint` is for context WAYPOINT only; write it, or remove this',
      'key',
    );
  }
  const other = MATCHES.find((one) => one in match);
  if (match.context === 'WAYPOINT' && other) {
    const message = `\`${other}\` is not for context WAYPOINT; write \`waypoint\`, or another context`;
    faults.error([...path, other], 'match', message, 'key');
  }
}

type Filter = NonNullable<NonNullable<NonNullable<Match['listener']>['filterChain']>['filter']>;

function checkFilter(filter: Filter, applyTo: string | undefined, path: FieldPath, faults: FaultList): void {
  const { name, subFilter } = filter;
  if (applyTo === 'LISTENER' || applyTo === 'FILTER_CHAIN') {
    faults.warning(path, 'match', `\`filter\` has no effect where applyTo is ${applyTo}; remove it`, 'key');
  }
  if (name === '' || !('name' in filter)) {
    faults.error(name === '' ? [...path, 'name'] : path, 'required', '`name` is required in FilterMatch; add it');
  }
  checkFilterName(name, [...path, 'name'], faults);
  if (!subFilter) return;
  const at = [...path, 'subFilter'];
  if (applyTo !== 'HTTP_FILTER') {
    faults.error(at, 'match', '`subFilter` is for applyTo HTTP_FILTER only; remove it', 'key');
  } else if (name !== undefined && name !== '' && !CONNECTION_MANAGERS.includes(name)) {
    const message = `\`subFilter\` is of the filter ${CONNECTION_MANAGERS[0]}, not of \`${name}\`; write that name`;
    faults.error(at, 'match', message, 'key');
  }
  if (subFilter.name === '' || !('name' in subFilter)) {
    const message = '`name` is required in SubFilterMatch; add it';
    faults.error(subFilter.name === '' ? [...at, 'name'] : at, 'required', message);
  }
  checkFilterName(subFilter.name, [...at, 'name'], faults);
}

function checkFilterName(name: string | undefined, path: FieldPath, faults: FaultList): void {
  const current = name === undefined ? undefined : currentFilterName(name);
  if (current) faults.warning(path, 'deprecated', `the filter's name \`${name}\` is an old one; write ${current}`);
}
