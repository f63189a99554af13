// Meaning of where a route leads.
import type { Loose } from '../../declare/check.js';
import type { FaultList } from '../../declare/fault.js';
import type { Destination } from '../../kinds/fields/destination.js';
import type { FieldPath } from '../../problem.js';

/** A port that is named has a number. */
export function checkDestination(
  destination: Loose<Destination> | undefined,
  path: FieldPath,
  faults: FaultList,
): void {
  const { port } = destination ?? {};
  if (port && !('number' in port)) {
    faults.error([...path, 'port'], 'required', '`number` is required in the port; add it');
  }
}
