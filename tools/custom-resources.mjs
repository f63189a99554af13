// Deployment: writes deploy/crds from the declarations of the kinds (`npm run deploy:crds`), or tells which files are out of date (`--check`).
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'deploy', 'crds');
const declarations = join(root, 'packages', 'istio-config', 'dist', 'index.js');

if (!existsSync(declarations)) throw new Error('packages/istio-config is not built; run "npm run build" and try again');
const { customResourceFiles } = await import(pathToFileURL(declarations).href);
const wanted = new Map(customResourceFiles().map(({ name, text }) => [name, text]));
mkdirSync(folder, { recursive: true });
const present = readdirSync(folder);

if (process.argv.includes('--check')) {
  const isStale = (name) => !present.includes(name) || readFileSync(join(folder, name), 'utf8') !== wanted.get(name);
  const stale = [...new Set([...wanted.keys(), ...present])].filter(isStale).sort();
  for (const name of stale) console.error(`deploy/crds/${name} is out of date: npm run deploy:crds`);
  if (stale.length > 0) process.exit(1);
  console.log('deploy/crds is up to date');
} else {
  for (const name of present) if (!wanted.has(name)) rmSync(join(folder, name));
  for (const [name, text] of wanted) writeFileSync(join(folder, name), text);
  console.log(`${wanted.size} files written to deploy/crds`);
}
