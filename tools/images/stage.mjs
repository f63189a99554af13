// Images, first step: lays out the root files of each component, which is all that its Containerfile copies into the image.
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/** Where the programs are in an image. */
const HOME = 'opt/lateen';

/** The programs in bin/ of each image, and the apps that they start. */
export const COMPONENTS = {
  galley: { programs: ['lateen-galley'], apps: ['galley'] },
  pilot: { programs: ['lateen-pilot'], apps: ['pilot'] },
  citadel: { programs: ['lateen-citadel'], apps: ['citadel'] },
  sidecar: { programs: ['lateen-sidecar', 'lateen-redirect', 'lateen-cni'], apps: ['sidecar', 'redirect'] },
};

/** Source maps, and what koffi has for reading, for building and for another C library than that of the bases. */
const runs = (path) =>
  !/\.map$|(^|\/)(README\.md|CMakeLists\.txt|cnoke\.cjs)$/.test(path) && !/(^|\/)musl_[^/]+\//.test(path);

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}

/** @throws naming what is not built */
function filesOf(root, { programs, apps }) {
  const files = ['LICENSE', 'bin/package.json', ...programs.map((program) => `bin/${program}`)];
  for (const app of apps) {
    const dist = `apps/${app}/dist`;
    if (!existsSync(join(root, dist, 'main.js'))) throw new Error(`${dist} is not built: run \`npm run build\` first`);
    files.push(
      ...filesIn(join(root, dist))
        .filter(runs)
        .map((file) => `${dist}/${file}`),
    );
  }
  if (apps.includes('sidecar') && !files.some((file) => file.endsWith('.node') && file.includes('/linux_'))) {
    throw new Error(
      'the sidecar is built without its native part for Linux: build on the kind of machine that the image is for',
    );
  }
  return files;
}

/**
 * Writes the root files of a component to an empty or new folder: the same bytes, modes and times for the same build.
 *
 * @param root the repository, built
 * @param seconds since 1970: the time of every file
 * @returns the size in bytes
 */
export function stage(root, component, target, seconds) {
  rmSync(target, { recursive: true, force: true });
  const home = join(target, HOME);
  const files = filesOf(root, COMPONENTS[component]);
  for (const file of files) {
    mkdirSync(dirname(join(home, file)), { recursive: true });
    copyFileSync(join(root, file), join(home, file));
  }
  for (const app of COMPONENTS[component].apps) {
    // What Node has to know of the folder above dist/: how to take main.js where dist/ does not say it.
    const { type, version } = JSON.parse(readFileSync(join(root, 'apps', app, 'package.json'), 'utf8'));
    writeFileSync(join(home, 'apps', app, 'package.json'), `${JSON.stringify({ type, version })}\n`);
  }
  return settle(target, seconds);
}

/** Modes and times that do not come from this machine; folders after what is in them, whose making changes their times. */
function settle(path, seconds) {
  let bytes = 0;
  const stats = lstatSync(path);
  if (stats.isDirectory()) for (const name of readdirSync(path).sort()) bytes += settle(join(path, name), seconds);
  else bytes = stats.size;
  const isProgram = stats.isDirectory() || (basename(dirname(path)) === 'bin' && !path.endsWith('.json'));
  chmodSync(path, isProgram ? 0o755 : 0o644);
  utimesSync(path, seconds, seconds);
  return bytes;
}
