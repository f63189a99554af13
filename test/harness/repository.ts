// Test harness: the root of the repository, from the sources and from what is built of them.

import { fileURLToPath } from 'node:url';

const isBuilt = import.meta.url.includes('/test/dist/');

/** Ends with a slash. */
export const REPOSITORY = fileURLToPath(new URL(isBuilt ? '../../../' : '../../', import.meta.url));
