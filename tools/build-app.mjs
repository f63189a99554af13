// Build step of an app: bundles src/main.ts and its workspace packages into one program, which keeps start-up short.
//
// `--code-cache TRAINING.mjs` also keeps what V8 compiled of it: dist/main.js then only loads dist/main-HASH.cjs with
// dist/main-HASH.cjs.cache, which is what the training left compiled (tools/code-cache.mjs). `--parts-apart` makes files of
// their own of what is imported when it is needed; they share nothing with the rest, so no class or registry may be in both.
// `--beside PACKAGE` puts a package with native code, which cannot be bundled, into dist/node_modules: dist/ is all that an image
// needs.
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { build } from 'esbuild';
import { loaderOf, recordCodeCache } from './code-cache.mjs';

const pkg = JSON.parse(readFileSync('package.json', 'utf8'));
const at = process.argv.indexOf('--code-cache');
const training = at < 0 ? undefined : process.argv[at + 1];

const options = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  sourcemap: true,
  // Less text to read and compile at each start: a third of the bundle, 25 ms and 15 MiB of a sidecar's start. Names stay,
  // for stack traces and profiles.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 200,
  legalComments: 'none',
  logLevel: 'warning',
  define: { 'process.env.LATEEN_VERSION': JSON.stringify(pkg.version) },
  loader: { '.wasm': 'binary' },
};

/** What the program imports when it needs it becomes a file of its own, so that starting does not read it. */
const partsApart = {
  name: 'parts-apart',
  setup({ onResolve, resolve: find }) {
    onResolve({ filter: /./ }, async ({ kind, path, resolveDir, pluginData }) => {
      if (kind !== 'dynamic-import' || pluginData === 'found') return undefined;
      const found = await find(path, { kind: 'import-statement', resolveDir, pluginData: 'found' });
      if (found.errors.length > 0) return found;
      const outfile = `dist/part-${path.replaceAll(/[^a-z0-9]+/gi, '-').replaceAll(/^-|-$/g, '')}.cjs`;
      await build({ ...options, entryPoints: [found.path], outfile, format: 'cjs' });
      return { path: `./${basename(outfile)}`, external: true };
    });
  },
};

if (training === undefined) {
  await build({
    ...options,
    entryPoints: ['src/main.ts'],
    outfile: 'dist/main.js',
    format: 'esm',
    // Some dependencies are CommonJS and call require() for Node's own modules.
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  });
} else {
  mkdirSync('dist', { recursive: true });
  for (const name of readdirSync('dist')) {
    if (/^(main|part)-.*\.cjs/.test(name)) rmSync(join('dist', name));
  }
  const { outputFiles } = await build({
    ...options,
    entryPoints: ['src/main.ts'],
    outfile: 'dist/main.cjs',
    format: 'cjs',
    // ASCII, since it is read as one byte a character.
    charset: 'ascii',
    sourcemap: 'external',
    write: false,
    plugins: process.argv.includes('--parts-apart') ? [partsApart] : [],
    // Code that V8 takes from a cache cannot import; it can require.
    supported: { 'dynamic-import': false },
    define: { ...options.define, 'import.meta.url': '__moduleUrl' },
    banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  });
  const [map, code] = ['.map', '.cjs'].map((end) => outputFiles.find(({ path }) => path.endsWith(end)));
  const name = `main-${createHash('sha256').update(code.contents).digest('hex').slice(0, 16)}.cjs`;
  writeFileSync(join('dist', name), `${code.text}//# sourceMappingURL=${name}.map\n`);
  writeFileSync(join('dist', `${name}.map`), map.contents);
  writeFileSync(join('dist', 'package.json'), '{ "type": "commonjs" }\n');
  rmSync('dist/main.js.map', { force: true });
  writeFileSync(join('dist', 'main.js'), loaderOf(name));
  await recordCodeCache({ program: resolve('dist/main.js'), cache: resolve('dist', `${name}.cache`), training });
}

const beside = process.argv.indexOf('--beside');
if (beside >= 0) putBeside(process.argv[beside + 1]);

/** What the package runs with: its JavaScript, and the binaries for this platform, which are packages of their own. */
function putBeside(name) {
  const home = realpathSync(join('node_modules', name));
  const target = join('dist', 'node_modules');
  rmSync(target, { recursive: true, force: true });
  const runs = (file) => ['.js', '.cjs', '.json', '.node', '.txt'].includes(extname(file));
  const sources = ['vendor', 'doc', 'lib'].map((folder) => join(home, folder));
  cpSync(home, join(target, name), {
    recursive: true,
    filter: (file) => !sources.includes(file) && (extname(file) === '' || runs(file)),
  });
  const { optionalDependencies = {} } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8'));
  for (const part of Object.keys(optionalDependencies)) {
    const from = join(dirname(home), part);
    if (existsSync(from)) cpSync(realpathSync(from), join(target, part), { recursive: true, filter: () => true });
  }
}
