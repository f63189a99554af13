// Templates: a JSON-e template with what it can use → a part of a pod. The result depends on nothing else: what in JSON-e
// asks the clock is not there.

import jsone from 'json-e';
import { isObject, type JsonObject } from '../config/deep-merge.js';
import type { Template } from '../config/injection-config.js';
import { InjectionError } from '../problems.js';
import type { TemplateContext } from './template-context.js';

/** Fields of a pod that a template may set. */
const POD_FIELDS = new Set(['apiVersion', 'kind', 'metadata', 'spec']);

const FUNCTIONS = {
  /** A key that may not be there; JSON-e itself refuses those. */
  get: (object: unknown, key: unknown, fallback: unknown = ''): unknown =>
    isObject(object) && typeof key === 'string' && Object.hasOwn(object, key) ? object[key] : fallback,
  /** A value as JSON in one line, for variables and annotations. */
  toJson: (value: unknown): string => JSON.stringify(value),
  fromNow: (): never => {
    throw new Error('fromNow is not there: a pod injected twice must be the same');
  },
};

/** @throws InjectionError naming the template */
export function renderTemplate(name: string, template: Template, context: TemplateContext): JsonObject {
  let rendered: unknown;
  try {
    rendered = jsone(template, { ...context, ...FUNCTIONS, now: '' });
  } catch (error) {
    throw new InjectionError([`template ${name}: ${error instanceof Error ? error.message : String(error)}`]);
  }
  const problems = shapeProblems(rendered).map((problem) => `template ${name}: ${problem}`);
  if (problems.length > 0) throw new InjectionError(problems);
  return rendered as JsonObject;
}

/** A merge by name needs names; anything finer the API server says. */
function shapeProblems(rendered: unknown): string[] {
  if (!isObject(rendered)) return ['it must render to a mapping with metadata and spec'];
  const problems = Object.keys(rendered)
    .filter((key) => !POD_FIELDS.has(key))
    .map((key) => `a pod has no field ${key}`);
  const { metadata = {}, spec = {} } = rendered;
  for (const [field, value] of Object.entries({ metadata, spec })) {
    if (!isObject(value)) problems.push(`${field} must be a mapping`);
  }
  for (const field of ['labels', 'annotations']) problems.push(...textProblems(metadata, field));
  for (const field of ['containers', 'initContainers', 'volumes', 'imagePullSecrets']) {
    problems.push(...listProblems(spec, field));
  }
  return problems;
}

function textProblems(metadata: unknown, field: string): string[] {
  const value = isObject(metadata) ? metadata[field] : undefined;
  if (value === undefined || value === null) return [];
  if (!isObject(value)) return [`metadata.${field} must be a mapping`];
  return Object.entries(value)
    .filter(([, text]) => typeof text !== 'string' && text !== null)
    .map(([key]) => `metadata.${field}.${key} must be text`);
}

function listProblems(spec: unknown, field: string): string[] {
  const value = isObject(spec) ? spec[field] : undefined;
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return [`spec.${field} must be a list`];
  return value.flatMap((each: unknown, index) =>
    isObject(each) && typeof each.name === 'string' && each.name !== '' ? [] : [`spec.${field}[${index}] needs a name`],
  );
}
