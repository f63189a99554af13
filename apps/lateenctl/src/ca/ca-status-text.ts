// Output of `lateenctl ca`: the authority's roots, and the steps of a rotation.

import type { AuthorityCertificate, AuthorityStatus, Rotation } from '@lateen/telemetry';
import { formatAge, formatTable } from '../output/table.js';

const STEPS: Readonly<Record<Rotation['step'], string>> = {
  make: 'a new root is made',
  distribute: 'both roots are trusted, the old one signs',
  issue: 'both roots are trusted, the new one signs',
  remove: 'the old root is taken away',
};
const ORDER = Object.keys(STEPS) as Rotation['step'][];

/** All of `ca status`. */
export function statusText(status: AuthorityStatus, nowMs: number): string {
  const { signing, roots, encrypted, writer, problem } = status;
  const lines = [
    `source:  ${status.source}${encrypted ? ', key encrypted at rest' : ''}`,
    `signing: ${signing.id}  ${signing.key}  ${signing.subject}  until ${signing.notAfter}`,
  ];
  if (writer !== undefined) lines.push(`writer:  ${writer === '' ? 'none at the moment' : writer}`);
  if (problem !== undefined) lines.push(`problem: ${problem}`);
  const role = (root: AuthorityCertificate, index: number) => (index === 0 ? 'signs' : roleOfOther(status, root.id));
  const rows = roots.map((root, index) => [root.id, role(root, index), root.key, root.notBefore, root.notAfter]);
  lines.push('', formatTable(['ROOT', 'ROLE', 'KEY', 'FROM', 'UNTIL'], rows), '', ...rotationLines(status, nowMs));
  return lines.join('\n');
}

function roleOfOther({ rotation }: AuthorityStatus, id: string): string {
  if (rotation?.to === id) return 'trusted, will sign';
  return rotation?.from === id ? 'trusted, will go' : 'trusted';
}

function rotationLines(status: AuthorityStatus, nowMs: number): string[] {
  const { rotation, last, waitingFor } = status;
  if (rotation === undefined) {
    if (last === undefined) return ['rotation: none'];
    return [`rotation: none; the last one, ${last.from} -> ${last.to}, was ${last.outcome} at ${last.endedAt}`];
  }
  const at = ORDER.indexOf(rotation.step);
  const steps = ORDER.map((step, index) => {
    if (index !== at) return [String(index + 1), step, index < at ? 'done' : 'to come', STEPS[step]];
    const waiting = waitingFor !== undefined && waitingFor.count > 0 ? `, waits for ${waitingFor.count}` : '';
    return [String(index + 1), step, `for ${formatAge(Date.parse(rotation.stepSince), nowMs)}${waiting}`, STEPS[step]];
  });
  return [
    `rotation: ${rotation.from} -> ${rotation.to}, asked for by ${rotation.requestedBy}, grace ${rotation.graceSeconds}s a step`,
    '',
    formatTable(['', 'STEP', 'STATE', 'MEANING'], steps),
    ...(waitingFor?.names ?? []).map((name, index) => `${index === 0 ? '\nwaits for:\n' : ''}  ${name}`),
  ];
}

/** The present step in one line, for `--wait`. */
export function stepText({ rotation, waitingFor, last }: AuthorityStatus): string {
  if (rotation === undefined) return `rotation of the root ${last?.outcome ?? 'not there'}`;
  const step = `step ${ORDER.indexOf(rotation.step) + 1} of ${ORDER.length}, ${rotation.step}: ${STEPS[rotation.step]}`;
  return waitingFor !== undefined && waitingFor.count > 0 ? `${step}; waits for ${waitingFor.count}` : step;
}
