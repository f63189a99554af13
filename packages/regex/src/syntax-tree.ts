// Syntax tree of a regular expression; flags are already applied: letters without case are classes, `.` is one too.
import type { Ranges } from './char-ranges.js';

/** What holds between two characters. `word` is ASCII, as in RE2. */
export type Assertion = 'text-begin' | 'text-end' | 'line-begin' | 'line-end' | 'word-boundary' | 'no-word-boundary';

export type SyntaxNode =
  | { readonly kind: 'empty' }
  | { readonly kind: 'class'; readonly ranges: Ranges }
  /** `\C`: any one byte. */
  | { readonly kind: 'any-byte' }
  | { readonly kind: 'assertion'; readonly assertion: Assertion }
  | { readonly kind: 'group'; readonly index: number; readonly item: SyntaxNode }
  | { readonly kind: 'sequence'; readonly items: readonly SyntaxNode[] }
  | { readonly kind: 'choice'; readonly items: readonly SyntaxNode[] }
  | {
      readonly kind: 'repeat';
      readonly item: SyntaxNode;
      readonly min: number;
      /** Infinity where there is no bound. */
      readonly max: number;
      readonly greedy: boolean;
    };

/** Whether the empty text is one that it matches (assertions may hold). */
export function matchesEmpty(node: SyntaxNode): boolean {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return true;
    case 'class':
    case 'any-byte':
      return false;
    case 'group':
      return matchesEmpty(node.item);
    case 'sequence':
      return node.items.every(matchesEmpty);
    case 'choice':
      return node.items.some(matchesEmpty);
    case 'repeat':
      return node.min === 0 || matchesEmpty(node.item);
  }
}
