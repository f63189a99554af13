// Part of building an app: keeps the code that V8 compiled while the app started once, for each start that follows.
import { existsSync, renameSync, rmSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const RECORDER = fileURLToPath(new URL('./record-code-cache.cjs', import.meta.url));

/**
 * The text of dist/main.js. V8 takes a cache only if its own version, its flags and the length of the text are those of
 * the recording; otherwise, or without a cache, it compiles, which only takes longer. The hash in the file's name is what
 * ties the cache to the text. It lies beside the code, so whoever could change it could change the code.
 */
export function loaderOf(name) {
  return `// Starts the program with the code that V8 compiled when it was built; made by tools/build-app.mjs.
'use strict';
const { readFileSync } = require('node:fs');
const { wrap } = require('node:module');
const { Script } = require('node:vm');
const file = require('node:path').join(__dirname, '${name}');
let cachedData;
try {
  cachedData = readFileSync(file + '.cache');
} catch (error) {
  if (error.code !== 'ENOENT') throw error;
}
const script = new Script(wrap(readFileSync(file, 'latin1')), { filename: file, cachedData });
module.exports = script;
const program = { exports: {} };
script.runInThisContext()(program.exports, require, program, file, __dirname);
`;
}

/**
 * Runs the training, which starts the program by a command and ends it with SIGTERM, and writes the cache.
 * @throws where that leaves no cache
 */
export async function recordCodeCache({ program, cache, training }) {
  const { train, NODE_FLAGS } = await import(pathToFileURL(resolve(training)).href);
  const unfinished = `${cache}.${process.pid}`;
  try {
    await train([process.execPath, ...NODE_FLAGS, RECORDER, unfinished, program]);
    if (!existsSync(unfinished)) throw new Error(`${training} ended the program before it wrote its code cache`);
    renameSync(unfinished, cache);
  } finally {
    rmSync(unfinished, { force: true });
  }
}
