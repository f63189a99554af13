// Describe: finds resources by kind and name, and what is wrong with them.

import { type ConfigObject, isIstioKind } from '@lateen/istio-config';
import type { SourceRef, Warning } from '@lateen/telemetry';
import type { MeshSnapshot, Problem } from '@lateen/translate';

export function sourceOf({ kind, metadata, source }: ConfigObject): SourceRef {
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    file: source.file,
    line: source.line,
  };
}

/** @param path `NAMESPACE/NAME` */
export function findSource(mesh: MeshSnapshot, kind: string, path: string): SourceRef | undefined {
  if (!isIstioKind(kind)) return undefined;
  const object = mesh.configsByKind
    .get(kind)
    ?.find(({ metadata }) => `${metadata.namespace}/${metadata.name}` === path);
  return object === undefined ? undefined : sourceOf(object);
}

/** A problem of translation, with the place of the resource that it is about. */
export function warningOf(mesh: MeshSnapshot, { code, subject, message }: Problem): Warning {
  const slash = subject.indexOf('/');
  const source = findSource(mesh, subject.slice(0, slash), subject.slice(slash + 1));
  return { code, message, ...(source === undefined ? {} : { source }) };
}

/** Each once, in order. */
export function uniqueWarnings(warnings: readonly Warning[]): Warning[] {
  const byText = new Map(warnings.map((warning) => [`${warning.code} ${warning.message}`, warning]));
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, warning]) => warning);
}
