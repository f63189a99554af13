// Deployment: writes deploy/ (but deploy/crds) from packages/installation (`npm run deploy:manifests`), or tells which files are out of date (`--check`).
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'deploy');
const built = join(root, 'packages', 'installation', 'dist', 'index.js');
/** Folders of deploy/ that are written by others. */
const OTHERS = /^(crds|cni|images)\//;

if (!existsSync(built)) throw new Error('packages/installation is not built; run "npm run build" and try again');
const { deploymentFiles } = await import(pathToFileURL(built).href);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const wanted = new Map(deploymentFiles(version).map(({ path, text }) => [path, text]));
const present = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((path) => path.replaceAll('\\', '/'))
  .filter((path) => path.endsWith('.yaml') && !OTHERS.test(path));

if (process.argv.includes('--check')) {
  const isStale = (path) => !present.includes(path) || readFileSync(join(folder, path), 'utf8') !== wanted.get(path);
  const stale = [...new Set([...wanted.keys(), ...present])].filter(isStale).sort();
  for (const path of stale) console.error(`deploy/${path} is out of date: npm run deploy:manifests`);
  if (stale.length > 0) process.exit(1);
  console.log('deploy is up to date');
} else {
  for (const path of present) if (!wanted.has(path)) rmSync(join(folder, path));
  for (const [path, text] of wanted) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  console.log(`${wanted.size} files written to deploy`);
}
