// Analysis, in reading order: input → model → analyzers → findings.
export { type AnalysisInput, analyze } from './analyze.js';
export { ALL_CODES, type Code, type Level, levelOf, nameOf } from './codes.js';
export { compareFindings, type Finding, formatFinding } from './finding.js';
export type { RawObject } from './model/raw-object.js';
export { meshOf, readFiles } from './read-files.js';
