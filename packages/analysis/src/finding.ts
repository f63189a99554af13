// Findings: one thing that is wrong with a mesh as a whole, at an object, with the line that says it.

import { type ConfigObject, type FieldPath, formatPath, locateField } from '@lateen/istio-config';
import { type Code, type Level, levelOf, nameOf } from './codes.js';
import type { RawObject } from './model/raw-object.js';

export interface Finding {
  readonly code: Code;
  /** `ReferencedResourceNotFound`. */
  readonly name: string;
  readonly level: Level;
  readonly kind: string;
  /** '' for what has no namespace. */
  readonly namespace: string;
  readonly resource: string;
  /** A file; for what came from a cluster, its place there. */
  readonly file: string;
  /** 1-based; 0 where there is no position. */
  readonly line: number;
  readonly column: number;
  /** `spec.http[0].route[0].destination.host`; '' for the object as a whole. */
  readonly path: string;
  /** What is wrong, and what to do. */
  readonly message: string;
}

/** Notes a finding. */
export type Report = (code: Code, object: ConfigObject | RawObject, path: FieldPath, message: string) => void;

export function findingAt(code: Code, object: ConfigObject | RawObject, path: FieldPath, message: string): Finding {
  const { kind, metadata, source } = object;
  // What came from an API server has no lines.
  const position =
    'raw' in object
      ? source
      : source.file.startsWith('kubernetes:')
        ? { line: 0, column: 0 }
        : locateField(object, path);
  return {
    code,
    name: nameOf(code),
    level: levelOf(code),
    kind,
    namespace: metadata.namespace ?? '',
    resource: metadata.name,
    file: source.file,
    line: position.line,
    column: position.column,
    path: formatPath(path),
    message,
  };
}

/** `Error [IST0101] (VirtualService default/reviews) file:line: message`, as istioctl's users read it. */
export function formatFinding({ level, code, kind, namespace, resource, file, line, path, message }: Finding): string {
  const object = namespace === '' ? `${kind} ${resource}` : `${kind} ${namespace}/${resource}`;
  const place = line > 0 ? ` ${file}:${line}` : '';
  return `${level} [${code}] (${object})${place}${path === '' ? '' : ` ${path}`}: ${message}`;
}

const ORDER: Readonly<Record<Level, number>> = { Error: 0, Warning: 1, Info: 2 };

/** The worst first, then by place. */
export function compareFindings(a: Finding, b: Finding): number {
  const text = (finding: Finding) => `${finding.kind}/${finding.namespace}/${finding.resource}`;
  return (
    ORDER[a.level] - ORDER[b.level] ||
    (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) ||
    a.line - b.line ||
    (a.code < b.code ? -1 : a.code > b.code ? 1 : 0) ||
    (text(a) < text(b) ? -1 : text(a) > text(b) ? 1 : 0)
  );
}
