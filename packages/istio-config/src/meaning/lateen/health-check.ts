// Meaning of HealthCheck.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { HealthCheckSpec, StatusRange } from '../../kinds/lateen/health-check.js';
import type { FieldPath } from '../../problem.js';
import { checkExportTo } from '../fields/export-to.js';
import { checkSelector, type MeaningRule, present } from '../rule.js';

type Ranges = readonly (Loose<StatusRange> | undefined)[] | undefined;

export const checkHealthCheck: MeaningRule<HealthCheckSpec> = (spec, faults, { namespace }) => {
  checkSelector(spec.workloadSelector, ['workloadSelector'], faults);
  checkExportTo(spec.exportTo, { namespace, ownOnly: 'workloadSelector' in spec }, faults);
  if (spec.host?.startsWith('*') && spec.subset !== undefined) {
    const message = 'subsets are of one service, and the host is a wildcard; name the host or remove the subset';
    faults.error(['subset'], 'one-of', message);
  }
  const { http, grpc } = spec;
  const { path } = http ?? {};
  if (path !== undefined && !/^\/[!-~]*$/.test(path)) {
    const message = `\`${path}\` is not a path; write one that begins with / and has no spaces, such as /healthz`;
    faults.error(['http', 'path'], 'path', message);
  }
  checkRanges(http?.expectedStatuses, ['http', 'expectedStatuses'], faults);
  checkRanges(http?.unhealthyStatuses, ['http', 'unhealthyStatuses'], faults);
  checkApart(http?.expectedStatuses, http?.unhealthyStatuses, faults);
  if (http?.method === 'HEAD' && (http.receive?.length ?? 0) > 0) {
    const message = 'answers to HEAD have no body; write another `method`, or remove `receive`';
    faults.error(['http', 'receive'], 'one-of', message, 'key');
  }
  checkHeaders(http?.headers, ['http', 'headers'], faults);
  checkHeaders(grpc?.headers, ['grpc', 'headers'], faults);
};

function checkRanges(ranges: Ranges, path: FieldPath, faults: FaultList): void {
  for (const [index, { from, to }] of present(ranges)) {
    if (from === undefined || to === undefined || from <= to) continue;
    faults.error([...path, index, 'to'], 'range', `${to} is less than ${from}; write the smaller one as \`from\``);
  }
}

/** A status cannot mean both. */
function checkApart(expected: Ranges, unhealthy: Ranges, faults: FaultList): void {
  for (const [index, one] of present(unhealthy)) {
    for (const [, other] of present(expected)) {
      if (one.from === undefined || other.from === undefined) continue;
      const isApart = (one.to ?? one.from) < other.from || (other.to ?? other.from) < one.from;
      if (isApart) continue;
      const message = 'these statuses are in `expectedStatuses` too; a status means one of the two';
      faults.error(['http', 'unhealthyStatuses', index], 'one-of', message);
      break;
    }
  }
}

/** Headers that the check itself writes. */
const OWN = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'te', 'content-type', 'user-agent']);

function checkHeaders(
  headers: Readonly<Record<string, string | undefined>> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  for (const name of Object.keys(headers ?? {})) {
    if (!OWN.has(name.toLowerCase())) continue;
    const advice = name.toLowerCase() === 'host' ? 'use `host`' : 'remove it';
    faults.error([...path, name], 'header', `the check writes \`${name}\` itself; ${advice}`);
  }
}
