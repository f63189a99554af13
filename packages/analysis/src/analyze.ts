// Analysis: everything that is wrong with a mesh as a whole: what was written, what each object says of others, what runs.

import { type ConfigObject, isIstioKind, type MeshConfig, type Problem } from '@lateen/istio-config';
import { analyzeDestinationRules } from './analyzers/destination-rules.js';
import { analyzeGateways } from './analyzers/gateways.js';
import { analyzeInjection } from './analyzers/injection.js';
import { analyzePeerAuthentications } from './analyzers/peer-authentications.js';
import { analyzePolicies } from './analyzers/policies.js';
import { analyzeSelectors } from './analyzers/selected-workloads.js';
import { analyzeServices } from './analyzers/services.js';
import { analyzeStatus } from './analyzers/status.js';
import { analyzeVirtualServices } from './analyzers/virtual-services.js';
import { levelOf, nameOf } from './codes.js';
import { compareFindings, type Finding, findingAt, type Report } from './finding.js';
import { MeshModel } from './model/mesh-model.js';
import type { RawObject } from './model/raw-object.js';

export interface AnalysisInput {
  /** Resources of Istio's kinds, those without errors. */
  readonly objects: readonly ConfigObject[];
  /** Objects of Kubernetes' own kinds. */
  readonly raw: readonly RawObject[];
  /** What reading the resources said of them. */
  readonly problems: readonly Problem[];
  /** Undefined where nothing is known of it; then what it would have is not missed. */
  readonly mesh?: MeshConfig;
  readonly rootNamespace?: string;
}

/** Findings, the worst first. What nothing is known of (no Service at all, no workload at all) is not missed. */
export function analyze({
  objects,
  raw,
  problems,
  mesh,
  rootNamespace = 'istio-system',
}: AnalysisInput): readonly Finding[] {
  const model = new MeshModel(
    objects.filter(({ kind }) => isIstioKind(kind)),
    raw,
    rootNamespace,
  );
  const found = problems.map(schemaFinding);
  const report: Report = (code, object, path, message) => {
    found.push(findingAt(code, object, path, message));
  };
  analyzeVirtualServices(model, report);
  analyzeDestinationRules(model, report);
  analyzeGateways(model, report);
  analyzePeerAuthentications(model, report);
  analyzePolicies(model, mesh, report);
  analyzeSelectors(model, report);
  analyzeServices(model, report);
  analyzeInjection(model, report);
  analyzeStatus(model, raw, report);
  const unique = new Map(found.map((finding) => [JSON.stringify(finding), finding]));
  return [...unique.values()].sort(compareFindings);
}

/** What reading a document found. */
function schemaFinding({
  severity,
  code: said,
  kind,
  namespace,
  name,
  file,
  line,
  column,
  path,
  message,
}: Problem): Finding {
  const code = severity === 'error' ? 'IST0106' : said === 'unreachable' ? unreachableCode(path) : 'IST0133';
  const place = { kind, namespace, resource: name, file, line, column, path };
  return { code, name: nameOf(code), level: levelOf(code), ...place, message };
}

/** A whole rule, or one of its matches. */
function unreachableCode(path: string): 'IST0130' | 'IST0131' {
  return /\.match\[\d+\]$/.test(path) ? 'IST0131' : 'IST0130';
}
