// Meaning of load balancing by locality (REGION/ZONE/SUBZONE).
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { LocalityLbSetting } from '../../kinds/fields/load-balancer.js';
import type { FieldPath } from '../../problem.js';
import { present, presentEntries } from '../rule.js';

/** Labels of an endpoint that say its locality; `failover` orders by them already. */
const TOPOLOGY = ['topology.kubernetes.io/region', 'topology.kubernetes.io/zone', 'topology.istio.io/subzone'];

/** Shares sum to 100, localities do not overlap, and failover leads to another region. */
export function checkLocalities(
  setting: Loose<LocalityLbSetting> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  checkDistribute(setting, [...path, 'distribute'], faults);
  for (const [index, { from = '', to = '' }] of present(setting?.failover)) {
    const at = [...path, 'failover', index];
    if (from === to) {
      const message = `region \`${from}\` fails over to itself; name another`;
      faults.error(to === '' ? at : [...at, 'to'], 'duplicate', message);
    }
    for (const [field, region] of Object.entries({ from, to })) {
      if (!/[*/]/.test(region)) continue;
      faults.error([...at, field], 'format', `\`${region}\` is more than a region; write its name alone`);
    }
  }
  if ((setting?.failover?.length ?? 0) === 0) return;
  for (const [index, label] of present(setting?.failoverPriority)) {
    if (!TOPOLOGY.includes(label)) continue;
    const message = `\`failover\` and the label \`${label}\` both order by locality; keep one`;
    faults.error([...path, 'failoverPriority', index], 'one-of', message);
  }
}

function checkDistribute(setting: Loose<LocalityLbSetting> | undefined, path: FieldPath, faults: FaultList): void {
  const sources: string[] = [];
  for (const [index, distribute] of present(setting?.distribute)) {
    const at = [...path, index];
    const isWrong = 'from' in distribute && distribute.from === undefined;
    if (!isWrong) checkLocality(distribute.from ?? '', sources, 'from' in distribute ? [...at, 'from'] : at, faults);
    const targets: string[] = [];
    for (const locality of Object.keys(distribute.to ?? {})) {
      checkLocality(locality, targets, [...at, 'to', locality], faults, 'key');
    }
    const shares = [...presentEntries(distribute.to)].map(([, share]) => share);
    const sum = shares.reduce((total, share) => total + share, 0);
    if (sum !== 100 && shares.length === Object.keys(distribute.to ?? {}).length) {
      faults.error('to' in distribute ? [...at, 'to'] : at, 'weights', `the shares sum to ${sum}; make them 100`);
    }
  }
}

/** One locality, which must not overlap with those before it. */
function checkLocality(
  locality: string,
  earlier: string[],
  path: FieldPath,
  faults: FaultList,
  part: 'key' | 'value' = 'value',
): void {
  const parts = locality.split('/');
  const star = locality.indexOf('*');
  if (parts.includes('')) {
    const message = `the locality \`${locality}\` has an empty part; write REGION, REGION/ZONE or REGION/ZONE/SUBZONE`;
    faults.error(path, 'format', message, part);
  } else if (star >= 0 && star !== locality.length - 1) {
    const message = `the locality \`${locality}\` has a \`*\` that is not its end; move it there, or remove it`;
    faults.error(path, 'format', message, part);
  } else {
    // A wildcard after what it takes in is the rest, which is meant.
    const other = earlier.find((each) => isWithin(locality, each) || (star < 0 && isWithin(each, locality)));
    if (other !== undefined) {
      faults.error(path, 'duplicate', `the locality \`${locality}\` overlaps with \`${other}\`; keep one`, part);
    }
    earlier.push(locality);
  }
}

/** Whether all of `inner` is in `outer`, which may be `*` or end in a part `*`. */
function isWithin(inner: string, outer: string): boolean {
  if (outer === '*' || outer.endsWith('/*')) return inner.startsWith(outer.slice(0, -1));
  return inner === outer || inner.startsWith(`${outer}/`);
}
