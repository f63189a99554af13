// Completion: files and directories that begin as the word does.

import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** As the word is written (relative stays relative); directories end in `/`. None where the directory cannot be read. */
export function matchingPaths(word: string): readonly string[] {
  const directory = word.endsWith('/') ? word : dirname(word);
  const prefix = word.includes('/') ? directory : '';
  try {
    return readdirSync(directory, { withFileTypes: true })
      .map((entry) => `${join(prefix, entry.name)}${entry.isDirectory() ? '/' : ''}`)
      .map((path) => (word.startsWith('./') ? `./${path}` : path))
      .filter((path) => path.startsWith(word));
  } catch {
    // Somebody is typing: a directory that is not there completes to nothing.
    return [];
  }
}
