// Conformance, step 2: puts the places of pods into a case's text, where it has to name them: `<POD>` is a pod's address, `<POD:PORT>`
// the port at which it answers for this one, `<POD:socket>` the path of its socket; and certificates, `<NAME:cert>`.

import type { ConformanceCase } from '../case-file.js';
import { type CaseCertificates, isCertificatePart } from './certificates.js';

export interface Places {
  address(pod: string): string;
  port(pod: string, port: number): number;
  socket(pod: string): string;
  readonly certificates: CaseCertificates;
}

const PLACE = /<([a-z][a-z0-9-]*)(?::(\d+|[a-z-]+))?>/g;

/** A case is plain data: its text is replaced wherever it stands. @throws Error naming a pod that the case has not */
export function locatedCase(conformanceCase: ConformanceCase, places: Places): ConformanceCase {
  const { name, pods, clients } = conformanceCase;
  const known = new Set([...pods, ...clients].map((pod) => pod.name));
  const text = JSON.stringify(conformanceCase).replaceAll(PLACE, (_whole, pod: string, port: string | undefined) => {
    if (port !== undefined && isCertificatePart(port)) return places.certificates.text(pod, port);
    if (!known.has(pod)) throw new Error(`${name}: there is no pod ${pod}`);
    if (port === 'socket') return places.socket(pod);
    return port === undefined ? places.address(pod) : String(places.port(pod, Number(port)));
  });
  return JSON.parse(text) as ConformanceCase;
}
