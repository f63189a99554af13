// State on disk: directories that only this user may enter.

import { mkdirSync } from 'node:fs';

export const PRIVATE_FILE_MODE = 0o600;
export const PRIVATE_DIRECTORY_MODE = 0o700;

/** Makes a directory, and its parents, that only this user may enter. */
export function makePrivateDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: PRIVATE_DIRECTORY_MODE });
  return path;
}
