// Injection: the text of a file → the same text with proxies in its pods. Documents that have no pod stay byte by byte; in the
// others comments and everything beside the change stay.

import {
  findPods,
  type Injection,
  InjectionError,
  type InjectionSource,
  inject,
  type PlacedPod,
  requireInjection,
} from '@lateen/injection';
import { type Document, isMap, isSeq, parseDocument, visit } from 'yaml';

/** What became of a pod. */
export interface InjectedPod {
  /** `Deployment/web`. */
  readonly object: string;
  readonly namespace: string;
  readonly injected: boolean;
  /** Why it is not. */
  readonly reason?: string;
  readonly warnings: readonly string[];
}

export interface InjectedText {
  readonly text: string;
  readonly pods: readonly InjectedPod[];
  /** What kept the file from being read or a pod from being injected; each begins with the line of its document. */
  readonly problems: readonly string[];
}

/** Both stand at the start of a line wherever they are (YAML 1.2, section 9.1.2). */
const MARKER = /^(?:---|\.\.\.)(?:\s|$)/;

interface Chunk {
  readonly text: string;
  readonly line: number;
}

/** @param namespace of objects that name none */
export function injectText(content: string, namespace: string, source: InjectionSource): InjectedText {
  const pods: InjectedPod[] = [];
  const problems: string[] = [];
  const texts = splitDocuments(content).map((chunk) => {
    try {
      return injectChunk(chunk.text, namespace, source, pods);
    } catch (error) {
      if (!(error instanceof InjectionError)) throw error;
      problems.push(...error.problems.map((problem) => `${chunk.line}: ${problem}`));
      return chunk.text;
    }
  });
  return { text: texts.join(''), pods, problems };
}

/** Each begins with its marker. */
function splitDocuments(content: string): Chunk[] {
  const chunks: { lines: string[]; line: number }[] = [{ lines: [], line: 1 }];
  content.split(/(?<=\n)/).forEach((line, index) => {
    if (MARKER.test(line)) chunks.push({ lines: [], line: index + 1 });
    chunks.at(-1)?.lines.push(line);
  });
  return chunks.map(({ lines, line }) => ({ text: lines.join(''), line })).filter(({ text }) => text !== '');
}

function injectChunk(text: string, namespace: string, source: InjectionSource, pods: InjectedPod[]): string {
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault !== undefined) throw new InjectionError([`this is no YAML: ${fault.message.split('\n')[0]}`]);
  const object: unknown = document.toJS();
  const changes: { placed: PlacedPod; injection: Injection }[] = [];
  for (const placed of findPods(object)) {
    const injection = injectPlaced(placed, namespace, source, pods);
    if (injection !== undefined) changes.push({ placed, injection });
  }
  if (changes.every(({ injection }) => injection.patch.length === 0)) return text;
  if (isJson(text)) return `${JSON.stringify(patchedObject(object, changes), null, 2)}\n`;
  if (hasAlias(document))
    document.contents = document.createNode(patchedObject(object, changes)) as typeof document.contents;
  else for (const { placed, injection } of changes) patchDocument(document, placed.path, injection.patch);
  return document.toString({ lineWidth: 0, flowCollectionPadding: text.includes('{ ') });
}

function injectPlaced(
  { pod, namespace: own, workload }: PlacedPod,
  fallback: string,
  source: InjectionSource,
  pods: InjectedPod[],
): Injection | undefined {
  const namespace = own ?? fallback;
  const object = `${workload.kind}/${workload.name}`;
  const decision = requireInjection(pod, namespace, source.config);
  if (!decision.injected) {
    pods.push({ object, namespace, injected: false, reason: decision.reason, warnings: [] });
    return undefined;
  }
  try {
    const injection = inject({ pod, namespace, workload }, source);
    pods.push({ object, namespace, injected: true, warnings: injection.warnings });
    return injection;
  } catch (error) {
    if (!(error instanceof InjectionError)) throw error;
    throw new InjectionError(error.problems.map((problem) => `${object}: ${problem}`));
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What an anchor names stands in several places, of which only one is to change: then the document is written anew. */
function hasAlias(document: Document): boolean {
  let found = false;
  visit(document, {
    Alias: () => {
      found = true;
      return visit.BREAK;
    },
  });
  return found;
}

type Changes = readonly { readonly placed: PlacedPod; readonly injection: Injection }[];

function patchedObject(object: unknown, changes: Changes): unknown {
  const copy = structuredClone(object) as Record<string | number, unknown>;
  for (const { placed, injection } of changes) {
    const last = placed.path.at(-1);
    if (last === undefined) return injection.pod;
    const parent = placed.path
      .slice(0, -1)
      .reduce<unknown>((value, step) => (value as Record<string | number, unknown>)[step], copy);
    (parent as Record<string | number, unknown>)[last] = injection.pod;
  }
  return copy;
}

/** Applies operations of RFC 6902, of which a difference has add, remove and replace, to the nodes of a document. */
function patchDocument(document: Document, prefix: readonly (string | number)[], patch: Injection['patch']): void {
  for (const operation of patch) {
    const steps = operation.path.split('/').slice(1).map(unescapePointer);
    const path = [...prefix, ...steps];
    const last = path.at(-1) ?? '';
    const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    if (operation.op === 'remove') document.deleteIn(path);
    else if (operation.op === 'add' || operation.op === 'replace') {
      const node = document.createNode(operation.value, { aliasDuplicateObjects: false });
      if (isSeq(parent) && operation.op === 'add')
        parent.items.splice(last === '-' ? parent.items.length : Number(last), 0, node);
      else if (isSeq(parent)) parent.items[Number(last)] = node;
      else if (isMap(parent)) parent.set(last, node);
      else throw new Error(`the patch has no place in the document: ${operation.path}`);
    } else throw new Error(`an operation ${operation.op} in a difference`);
  }
}

function unescapePointer(step: string): string {
  return step.replaceAll('~1', '/').replaceAll('~0', '~');
}
