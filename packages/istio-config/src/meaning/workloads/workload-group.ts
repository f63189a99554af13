// Meaning of WorkloadGroup. The template is no whole WorkloadEntry: its address comes from the workload that registers.
import type { WorkloadGroupSpec } from '../../kinds/workloads/workload-group.js';
import { type MeaningRule, present } from '../rule.js';

export const checkWorkloadGroup: MeaningRule<WorkloadGroupSpec> = ({ probe }, faults) => {
  const http = probe?.httpGet;
  const { scheme } = http ?? {};
  if (scheme !== undefined && scheme !== '' && scheme !== 'HTTP' && scheme !== 'HTTPS') {
    faults.error(['probe', 'httpGet', 'scheme'], 'enum', `\`${scheme}\` is not allowed here; write HTTP or HTTPS`);
  }
  for (const [index, header] of present(http?.httpHeaders)) {
    const path = ['probe', 'httpGet', 'httpHeaders', index];
    if (header.name === '') faults.error([...path, 'name'], 'required', '`name` is empty; write the name of a header');
    else if (!('name' in header)) faults.error(path, 'required', '`name` is required in HTTPHeader; add it');
  }
};
