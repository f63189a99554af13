// Text → objects: reads documents, checks structure, meaning and what Lateen acts on, and collects every problem.
import type { ConfigObject } from './object.js';
import type { Problem } from './problem.js';

/** A text to parse; the name is what problems call it. */
export interface InputFile {
  readonly name: string;
  readonly content: string;
}

export interface ParseOptions {
  /** Namespace of documents that name none. */
  readonly defaultNamespace: string;
  /** Whether Kubernetes documents (Service, Deployment…) are taken; where not, they are refused by name. Default true. */
  readonly kubernetes?: boolean;
}

export interface ParsedDocuments {
  /** The documents that have no error of their own, in the order of the text. */
  readonly objects: readonly ConfigObject[];
  /** Everything found, in the order of the text. Empty of errors: all documents are in `objects`. */
  readonly problems: readonly Problem[];
}
