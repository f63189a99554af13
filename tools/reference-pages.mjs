// Documentation: writes docs/reference from the declarations of the kinds (`npm run docs`), or tells which pages are out of date.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'docs', 'reference');
const declarations = join(root, 'packages', 'istio-config', 'dist', 'index.js');

/** The pages as they should be, by file name. */
async function pages() {
  if (!existsSync(declarations))
    throw new Error('packages/istio-config is not built; run "npm run build" and try again');
  const { referencePages } = await import(pathToFileURL(declarations).href);
  return new Map(referencePages().map(({ name, text }) => [name, text]));
}

/** The names of the pages that differ from the declarations. */
export async function stalePages() {
  const wanted = await pages();
  const present = existsSync(folder) ? readdirSync(folder) : [];
  const isStale = (name) => !present.includes(name) || readFileSync(join(folder, name), 'utf8') !== wanted.get(name);
  return [...new Set([...wanted.keys(), ...present])].filter(isStale).sort();
}

async function writePages() {
  const wanted = await pages();
  mkdirSync(folder, { recursive: true });
  for (const name of readdirSync(folder)) if (!wanted.has(name)) rmSync(join(folder, name));
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
  console.log(`${wanted.size} pages written to docs/reference`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await writePages();
