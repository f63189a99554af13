// `npm run images [-- NAME…]`: lays out what each component's image holds, and builds the images with the builder that is here.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { COMPONENTS, stage } from './images/stage.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
/** How each builder is told the time that everything in the image has. */
const TIME_FLAGS = {
  docker: (seconds) => ['--build-arg', `SOURCE_DATE_EPOCH=${seconds}`],
  podman: (seconds) => ['--timestamp', seconds],
  buildah: (seconds) => ['--timestamp', seconds],
};
const USAGE = `npm run images [-- [OPTIONS] [NAME…]]      NAME: ${Object.keys(COMPONENTS).join(', ')}; all by default

  --stage DIR      only lay out the files, in DIR/NAME, and print their size
  --builder NAME   docker, podman or buildah; default: the first of them that works
  --base IMAGE     image with Node.js to build on; default: Debian's slim one of the Node.js that runs this
  --hub NAME       what the names of the images begin with; default: lateen
  --tag TAG        default: the version of the repository`;

try {
  main();
} catch (error) {
  console.error(`images: ${error.message}`);
  process.exit(1);
}

function main() {
  const text = { type: 'string' };
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { stage: text, builder: text, base: text, hub: text, tag: text, help: { type: 'boolean' } },
  });
  if (values.help) return console.log(USAGE);
  const unknown = positionals.filter((name) => !Object.hasOwn(COMPONENTS, name));
  if (unknown.length > 0)
    throw new Error(`no component ${unknown.join(', ')}; there are ${Object.keys(COMPONENTS).join(', ')}`);
  const names = positionals.length > 0 ? [...new Set(positionals)].sort() : Object.keys(COMPONENTS);
  const seconds = sourceDate();
  if (values.stage !== undefined) return layOut(names, resolve(values.stage), seconds);

  const builder = chooseBuilder(values.builder);
  const folder = mkdtempSync(join(tmpdir(), 'lateen-images-'));
  try {
    layOut(names, folder, seconds);
    for (const name of names) build(builder, name, join(folder, name), seconds, values);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function layOut(names, folder, seconds) {
  for (const name of names) {
    const bytes = stage(root, name, join(folder, name), seconds);
    console.log(`${name}: ${(bytes / 1e6).toFixed(1)} MB above the base`);
  }
}

function build(builder, name, folder, seconds, { base = defaultBase(), hub = 'lateen', tag = repositoryVersion() }) {
  const image = `${hub}/${name}:${tag}`;
  const labels = { version: tag, revision: git('rev-parse', 'HEAD'), source: source() };
  const args = ['build', '--file', join(root, 'deploy', 'images', name, 'Containerfile'), '--tag', image];
  args.push(...TIME_FLAGS[builder](String(seconds)));
  if (base !== undefined) args.push('--build-arg', `NODE_BASE=${base}`);
  for (const [label, value] of Object.entries(labels)) {
    if (value !== undefined) args.push('--label', `org.opencontainers.image.${label}=${value}`);
  }
  console.log(`building ${image} with ${builder}${base === undefined ? '' : ` on ${base}`} ...`);
  const { status, error } = spawnSync(builder, [...args, folder], { stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${builder} could not build ${image}: what it says is above; --base takes another base`);
}

/** The very Node.js that compiled the code caches: with another, programs compile anew at each start. */
function defaultBase() {
  if (process.release.lts === undefined) return undefined;
  return `docker.io/library/node:${process.versions.node}-bookworm-slim`;
}

/** @throws saying what to do where there is none */
function chooseBuilder(wanted) {
  const builders = Object.keys(TIME_FLAGS);
  if (wanted !== undefined && !builders.includes(wanted))
    throw new Error(`no builder ${wanted}: it is one of ${builders.join(', ')}`);
  const works = (builder) => spawnSync(builder, ['info'], { stdio: 'ignore' }).status === 0;
  const found = (wanted === undefined ? builders : [wanted]).find(works);
  if (found !== undefined) return found;
  throw new Error(
    `${wanted ?? 'no builder'} ${wanted === undefined ? 'works here' : 'does not work here'}: install docker (and start it), podman or buildah, ` +
      'for instance by `apt-get install buildah`; or lay the files out with --stage DIR and build elsewhere with deploy/images/NAME/Containerfile',
  );
}

/** SOURCE_DATE_EPOCH, or the time of the commit, or 0 where there is no repository. */
function sourceDate() {
  const { SOURCE_DATE_EPOCH: given } = process.env;
  if (given !== undefined && !/^\d+$/.test(given))
    throw new Error(`SOURCE_DATE_EPOCH is "${given}": it is a number of seconds since 1970`);
  return Number(given ?? git('log', '-1', '--format=%ct') ?? 0);
}

/** Where the repository came from, without what a URL may say of who fetched it. */
function source() {
  const origin = git('remote', 'get-url', 'origin');
  if (origin === undefined || !/^https?:/.test(origin)) return undefined;
  const { protocol, host, pathname } = new URL(origin);
  return `${protocol}//${host}${pathname}`;
}

function repositoryVersion() {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
}

function git(...args) {
  const { status, stdout } = spawnSync('git', args, { cwd: root, encoding: 'utf8' });
  return status === 0 ? stdout.trim() : undefined;
}
