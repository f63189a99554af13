// Pod mode: labels and annotations of the pod, as the kubelet writes them to files: one `KEY="VALUE"` a line.

import { readFileSync } from 'node:fs';
import { StartError } from '../start-error.js';

/** @param text values are quoted as in Go: what JSON has for them means the same */
export function parseDownwardFile(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const at = line.indexOf('=');
    if (at <= 0) continue;
    found[line.slice(0, at).trim()] = unquote(line.slice(at + 1).trim());
  }
  return found;
}

/** Go has escapes that JSON lacks: `\a`, `\v`, `\x00`, `\U00000000`. */
function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  const plain = text.replace(/\\(?:x([0-9a-f]{2})|U([0-9a-f]{8})|([av]))|\\./gi, (whole, byte, point, letter) => {
    if (byte !== undefined) return `\\u00${byte}`;
    if (point !== undefined) return String.fromCodePoint(Number.parseInt(point, 16));
    return letter === undefined ? whole : letter === 'a' ? '\\u0007' : '\\u000b';
  });
  try {
    return String(JSON.parse(plain));
  } catch {
    return text;
  }
}

/** Empty where the pod does not give it. @throws StartError where it cannot be read */
export function readDownwardFile(path: string): Record<string, string> {
  try {
    return parseDownwardFile(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new StartError(`cannot read ${path}: ${(error as Error).message}`);
  }
}
