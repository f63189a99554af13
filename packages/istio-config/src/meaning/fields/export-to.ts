// Meaning of `exportTo`: which namespaces see a resource.
import type { FaultList } from '../../declare/fault.js';
import { present } from '../rule.js';

/** What a kind allows beyond names, `.` and `*`. */
export interface ExportRules {
  /** The namespace of the resource, which `.` stands for. */
  readonly namespace: string;
  /** `~`, nobody: only a ServiceEntry can be for its own workloads alone. */
  readonly nobody?: boolean;
  /** A DestinationRule with a selector is for callers of its own namespace. */
  readonly ownOnly?: boolean;
}

/** Reports what is there twice, and `*` or `~` beside others (Istio's rules). */
export function checkExportTo(
  exportTo: readonly (string | undefined)[] | undefined,
  { namespace, nobody = false, ownOnly = false }: ExportRules,
  faults: FaultList,
): void {
  const path = (index: number) => ['exportTo', index];
  const seen = new Set<string>();
  for (const [index, entry] of present(exportTo)) {
    const name = entry === '.' ? namespace : entry;
    if (entry === '~' && !nobody) {
      faults.error(path(index), 'export-to', '`~` (nobody) is for a ServiceEntry only; write `.` for this namespace');
    } else if (seen.has(name)) {
      const text = entry === name && entry !== namespace ? `\`${entry}\`` : `the namespace ${namespace}`;
      faults.error(path(index), 'duplicate', `${text} is in \`exportTo\` twice; keep one`);
    } else if (ownOnly && name !== namespace) {
      const message = `with a selector the rule is for callers of this namespace only; write \`.\` or remove \`${entry}\``;
      faults.error(path(index), 'export-to', message);
    }
    if ((entry === '*' || (entry === '~' && nobody)) && (exportTo?.length ?? 0) > 1) {
      const meaning = entry === '*' ? 'all namespaces' : 'nobody';
      faults.error(path(index), 'one-of', `\`${entry}\` is ${meaning}, so it stands alone; remove it or the others`);
    }
    seen.add(name);
  }
}
