// Build step: copies the published Envoy/xDS protos and the mesh's own, mends two known faults, generates ES modules.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { deferFields } from './defer-fields.mjs';

const packageDir = dirname(dirname(fileURLToPath(import.meta.url)));
const workDir = join(packageDir, 'build', 'proto');
const genDir = join(packageDir, 'gen');
const require = createRequire(import.meta.url);
const published = join(dirname(require.resolve('@grpc/grpc-js-xds/package.json')), 'deps');

/** Proto files whose transitive closure is generated: what the mesh speaks, and what a user's bootstrap may name. */
const roots = readFileSync(join(packageDir, 'roots.txt'), 'utf8')
  .split('\n')
  .map((line) => line.replace(/#.*/, '').trim())
  .filter(Boolean);

function ownProtos(dir, found = []) {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) ownProtos(path, found);
    else if (entry.name.endsWith('.proto')) found.push(relative(join(packageDir, 'proto'), path));
  }
  return found;
}

/** Replaces text in a copied proto; fails when the published file no longer has the fault. */
function mend(file, from, to) {
  const path = join(workDir, file);
  const text = readFileSync(path, 'utf8');
  if (!text.includes(from)) throw new Error(`${file}: expected text not found, the published proto changed: ${from}`);
  writeFileSync(path, text.replace(from, to));
}

rmSync(join(packageDir, 'build'), { recursive: true, force: true });
mkdirSync(workDir, { recursive: true });
for (const part of ['envoy-api', 'xds', 'googleapis']) cpSync(join(published, part), workDir, { recursive: true });
cpSync(join(published, 'protoc-gen-validate', 'validate'), join(workDir, 'validate'), { recursive: true });
cpSync(join(packageDir, 'proto'), workDir, { recursive: true });
// protoc-gen-validate as published lacks a rule that Envoy's protos use.
if (!readFileSync(join(workDir, 'validate/validate.proto'), 'utf8').includes('ignore_empty = 26')) {
  mend(
    'validate/validate.proto',
    'message StringRules {',
    'message StringRules {\n    optional bool ignore_empty = 26;',
  );
}

const own = ownProtos(join(packageDir, 'proto'));
writeFileSync(join(workDir, 'buf.yaml'), 'version: v2\n');
writeFileSync(
  join(workDir, 'buf.gen.yaml'),
  JSON.stringify({
    version: 'v2',
    plugins: [
      {
        local: [process.execPath, require.resolve('@bufbuild/protoc-gen-es/bin/protoc-gen-es')],
        out: genDir,
        opt: ['target=js+dts', 'import_extension=js'],
        strategy: 'all',
        include_imports: true,
      },
    ],
  }),
);
rmSync(genDir, { recursive: true, force: true });
const buf = require.resolve('@bufbuild/buf/bin/buf');
const args = ['generate', '--include-imports', ...[...roots, ...own].flatMap((path) => ['--path', path])];
const result = spawnSync(process.execPath, [buf, ...args], { cwd: workDir, stdio: 'inherit' });
if (result.status !== 0 || !existsSync(genDir)) {
  console.error('Generating the protobuf types failed; see the messages above.');
  process.exit(1);
}
rmSync(join(packageDir, 'build'), { recursive: true, force: true });

/** Generated code takes `fileDesc` from here; src/file-desc.ts says why. */
function useOwnFileDesc(path) {
  const text = readFileSync(path, 'utf8');
  const from = / from "@bufbuild\/protobuf\/codegenv2";/;
  const found = new RegExp(`import \\{ ([^}]*\\bfileDesc\\b[^}]*) \\}${from.source}`).exec(text);
  if (found === null) throw new Error(`${path} does not import fileDesc as expected, the generator changed`);
  const others = found[1].split(', ').filter((name) => name !== 'fileDesc');
  const own = relative(dirname(path), join(packageDir, 'dist', 'file-desc.js'));
  const lines = [`import { fileDesc } from "${own}";`];
  if (others.length > 0) lines.unshift(`import { ${others.join(', ')} } from "@bufbuild/protobuf/codegenv2";`);
  writeFileSync(path, deferFields(text.replace(found[0], lines.join('\n')), path));
}

for (const entry of readdirSync(genDir, { recursive: true })) {
  if (entry.endsWith('_pb.js')) useOwnFileDesc(join(genDir, entry));
}
