// Repository check: holds the rules of the house that no compiler knows. Run by `npm run lint`; prints every breach at once.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { stalePages } from './reference-pages.mjs';
import { untestedAttempts } from './security-page.mjs';

const MAX_LINES = 400;
const MAX_FILES_IN_FOLDER = 15;
const VAGUE_NAMES = /^(util|utils|helper|helpers|common|misc|manager|data|info)\.(ts|mjs)$/;

/** What each package may import from the workspace; apps may import any package and no app. */
const ALLOWED_IMPORTS = {
  'packages/xds-proto': [],
  'packages/telemetry': [],
  'packages/regex': [],
  'packages/bootstrap': [],
  'packages/istio-config': ['regex'],
  'packages/interception': ['istio-config'],
  'packages/identity': ['xds-proto'],
  'packages/kubernetes': [],
  'packages/xds-stream': ['xds-proto'],
  'packages/jwt': ['xds-proto'],
  'packages/translate': ['xds-proto', 'istio-config'],
  'packages/filters-wasm': ['xds-proto', 'regex'],
  'packages/injection': ['istio-config'],
  'packages/analysis': ['istio-config', 'injection'],
  'packages/installation': ['istio-config', 'injection'],
  'packages/explain': ['xds-proto', 'istio-config', 'translate', 'filters-wasm', 'jwt'],
};
/** Packages that neither read clocks nor touch files or the network (tests and build steps aside). */
const PURE = [
  'packages/regex',
  'packages/istio-config',
  'packages/interception',
  'packages/translate',
  'packages/explain',
  'packages/injection',
  'packages/installation',
  'packages/analysis',
];
const IMPURE_IMPORT =
  /from '(node:(?:fs|net|http|https|http2|tls|dns|child_process|worker_threads|timers)[^']*|@grpc\/grpc-js)'|\bDate\.now\(|\bMath\.random\(|new Date\(\)/;

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && existsSync(file));
const breaches = [];
const breach = (file, text) => breaches.push(`${file}: ${text}`);

const isSource = (file) => /\.(ts|mjs)$/.test(file) && !file.endsWith('.d.ts');
const isTest = (file) => /\.test\.ts$/.test(file) || /^packages\/[^/]+\/test\//.test(file);

for (const file of files.filter(isSource)) {
  const text = readFileSync(file, 'utf8');
  const lines = text.split('\n');
  if (lines.length - 1 > MAX_LINES)
    breach(file, `${lines.length - 1} lines; the limit is ${MAX_LINES}: find the second concept in it`);
  if (VAGUE_NAMES.test(basename(file))) breach(file, 'a vague file name: name it after what it holds');
  const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0];
  if (!/^(\/\/|\/\*\*?)/.test(first ?? ''))
    breach(file, 'the first line must be a comment that says the file’s place in the flow');
  if (/\b(TODO|FIXME|XXX)\b/.test(text) && file !== 'tools/check-repo.mjs')
    breach(file, 'TODO, FIXME or XXX: do it, or list it in docs/status.md');
  checkImports(file, text);
}

function checkImports(file, text) {
  const room = /^(packages|apps)\/[^/]+/.exec(file)?.[0];
  if (room === undefined) return;
  const imported = [...text.matchAll(/from '@lateen\/([a-z0-9-]+)/g)].map((match) => match[1]);
  for (const name of imported) {
    if (existsSync(`apps/${name}`)) breach(file, `imports the app ${name}; nothing imports an app`);
    const allowed = ALLOWED_IMPORTS[room];
    const isOwn = room === `packages/${name}`;
    if (allowed !== undefined && !isOwn && !allowed.includes(name) && !isTest(file)) {
      breach(file, `${room} may not import @lateen/${name} (allowed: ${allowed.join(', ') || 'none'})`);
    }
  }
  if (room.startsWith('apps/') && /from '(?:\.\.\/)+(?:apps|packages)\//.test(text)) {
    breach(file, 'imports another room by path; import the package by its name');
  }
  if (PURE.includes(room) && !isTest(file) && !file.startsWith(`${room}/tools/`)) {
    const impure = IMPURE_IMPORT.exec(text);
    if (impure !== null) breach(file, `${room} is pure, but this uses ${impure[1] ?? impure[0]}`);
  }
}

const folders = new Map();
for (const file of files.filter((name) => isSource(name) && !isTest(name))) {
  folders.set(dirname(file), (folders.get(dirname(file)) ?? 0) + 1);
}
for (const [folder, count] of folders) {
  if (count > MAX_FILES_IN_FOLDER)
    breach(folder, `${count} files; the limit is ${MAX_FILES_IN_FOLDER}: find the second room in it`);
}

checkDependencies();
for (const text of untestedAttempts()) breach('docs/security.md', text);
for (const page of await stalePages()) {
  breach(
    `docs/reference/${page}`,
    'differs from the declarations of the kinds: run `npm run docs` and commit what it writes',
  );
}

function checkDependencies() {
  const documented = existsSync('docs/dependencies.md') ? readFileSync('docs/dependencies.md', 'utf8') : '';
  const manifests = files.filter((file) => basename(file) === 'package.json');
  for (const manifest of manifests) {
    const { dependencies = {}, devDependencies = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      if (name.startsWith('@lateen/')) continue;
      if (!documented.includes(`\`${name}\``)) breach(manifest, `${name} has no line in docs/dependencies.md`);
      if (!/^\d/.test(version)) breach(manifest, `${name}: pin an exact version instead of ${version}`);
    }
  }
}

for (const file of files.filter(
  (name) => /\.(md|ts|mjs|json|ya?ml)$/.test(name) && name !== 'pnpm-lock.yaml' && name !== 'tools/check-repo.mjs',
)) {
  const text = readFileSync(file, 'utf8');
  const path = /(?:^|[\s"'`(])(\/(?:work|home|root|Users)\/[a-z][\w./-]*)/.exec(text);
  if (path !== null) breach(file, `names a path of one machine: ${path[1]}`);
}

if (breaches.length > 0) {
  console.error(breaches.sort().join('\n'));
  console.error(`\n${breaches.length} breaches of the repository's rules`);
  process.exit(1);
}
console.log(`repository rules hold in ${files.length} files`);
