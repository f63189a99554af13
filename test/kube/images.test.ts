// The images, built from their Containerfiles by buildah on a base of this machine's own programs, and run as pods run them.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { REPOSITORY } from '../harness/repository.js';

/** What a base on Debian has of the programs that the builds and the images use. */
const BASE_PROGRAMS = ['sh', 'env', 'mkdir', 'nft', 'iptables', 'iptables-save', 'iptables-restore', 'ip', 'nsenter'];
const BASE = 'localhost/lateen-test-base:latest';
const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string };

const missing = whatIsMissing();
if (missing !== undefined) console.error(`\nSKIPPED: no images are built: ${missing}\n`);

function whatIsMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root';
  const absent = ['buildah', ...BASE_PROGRAMS].filter((program) => pathOf(program) === undefined);
  return absent.length === 0 ? undefined : `${absent.join(', ')} not found: install the packages`;
}

function pathOf(program: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(':');
  return folders.map((folder) => join(folder, program)).find((file) => existsSync(file));
}

let work: string;
let environment: Record<string, string>;

function run(program: string, ...args: string[]): string {
  const done = spawnSync(program, args, { cwd: REPOSITORY, encoding: 'utf8', env: environment });
  if (done.status !== 0)
    throw new Error(`${program} ${args.join(' ')} exits ${done.status}: ${done.error ?? done.stderr}`);
  return done.stdout.trim();
}

/** Node.js and the programs, each with the libraries that it says it needs, where it looks for them. */
function layOutBase(root: string): void {
  mkdirSync(join(root, 'usr', 'local', 'bin'), { recursive: true });
  for (const folder of ['bin', 'sbin', 'lib', 'lib64']) {
    mkdirSync(join(root, 'usr', folder), { recursive: true });
    symlinkSync(join('usr', folder), join(root, folder));
  }
  for (const [file, target] of [
    [process.execPath, 'usr/local/bin/node'],
    ...BASE_PROGRAMS.map((program) => [pathOf(program)!, join('usr', 'sbin', basename(program))] as const),
  ] as const) {
    copyFileSync(file, join(root, target));
    for (const [, library] of run('ldd', file).matchAll(/(?:=> )?(\/\S+) \(0x/g)) {
      mkdirSync(dirname(join(root, library!)), { recursive: true });
      copyFileSync(library!, join(root, library!));
    }
  }
  for (const program of ['sh', 'env']) {
    const known = join(root, 'usr', 'bin', program);
    if (!existsSync(known)) symlinkSync(`../sbin/${program}`, known);
  }
}

const build = (...args: string[]) =>
  run(process.execPath, 'tools/images.mjs', '--builder', 'buildah', '--base', BASE, ...args);

interface Config {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Labels: Readonly<Record<string, string>>;
}

function imageOf(name: string, tag = version): { id: string; config: Config } {
  const image = JSON.parse(run('buildah', 'inspect', '--type', 'image', `localhost/lateen/${name}:${tag}`));
  return { id: image.FromImageID, config: image.OCIv1.config };
}

/** As a runtime does: the entrypoint with the arguments of a pod, by the image's user, in its environment, on a read-only root. */
function runImage(name: string, args: readonly string[]) {
  const { config } = imageOf(name);
  const container = run('buildah', 'from', '--pull-never', `localhost/lateen/${name}:${version}`);
  const root = run('buildah', 'mount', container);
  try {
    const script =
      'root=$1; user=$2; shift 2; mount --bind "$root" "$root" && mount -o remount,ro,bind "$root" && exec chroot --userspec="$user" "$root" "$@"';
    const inside = ['env', '-i', ...config.Env, ...(config.Entrypoint ?? []), ...args];
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', script, 'sh', root, config.User, ...inside],
      { encoding: 'utf8' },
    );
    return { status, stdout, stderr };
  } finally {
    run('buildah', 'rm', container);
  }
}

function argsOf(deployment: string): string[] {
  const { spec } = parse(readFileSync(join(REPOSITORY, 'deploy', deployment, 'deployment.yaml'), 'utf8'));
  return spec.template.spec.containers[0].args;
}

describe.skipIf(missing !== undefined)('images', () => {
  beforeAll(() => {
    work = mkdtempSync(join(tmpdir(), 'lateen-images-test-'));
    const storage = join(work, 'storage.conf');
    writeFileSync(
      storage,
      `[storage]\ndriver = "vfs"\ngraphroot = "${join(work, 'root')}"\nrunroot = "${join(work, 'run')}"\n`,
    );
    environment = {
      PATH: process.env.PATH!,
      HOME: work,
      CONTAINERS_STORAGE_CONF: storage,
      BUILDAH_ISOLATION: 'chroot',
    };
    layOutBase(join(work, 'base'));
    const container = run('buildah', 'from', 'scratch');
    run('buildah', 'add', container, join(work, 'base'), '/');
    run('buildah', 'commit', '--rm', container, BASE);
    build();
  });
  afterAll(() => {
    if (work === undefined) return;
    spawnSync('buildah', ['rm', '--all'], { env: environment });
    rmSync(work, { recursive: true, force: true });
  });

  test.each(['galley', 'pilot', 'citadel'])('%s runs by flags, as a user without rights', (name) => {
    const { config } = imageOf(name);
    expect(config).toMatchObject({ User: '65532:65532', Entrypoint: [`/opt/lateen/bin/lateen-${name}`] });
    expect(runImage(name, ['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' });
    // No cluster is here: it ends by that, and not by an argument.
    const started = runImage(name, argsOf(name));
    expect(started.status).toBe(1);
    expect(`${started.stdout}${started.stderr}`).toMatch(
      new RegExp(`${name} cannot start: .*(service account|cluster|pod)`, 'i'),
    );
  });

  test('the sidecar’s programs run by the name that a pod gives', () => {
    const { config } = imageOf('sidecar');
    expect(config).toMatchObject({ User: '1337:1337', Cmd: ['lateen-sidecar', '--pod', 'sidecar'] });
    expect(config.Entrypoint ?? []).toEqual([]);
    expect(runImage('sidecar', ['lateen-sidecar', '--version'])).toMatchObject({ status: 0, stdout: `${version}\n` });
    expect(runImage('sidecar', ['/opt/lateen/bin/lateen-sidecar', 'wait', '--help'])).toMatchObject({ status: 0 });
    expect(runImage('sidecar', ['lateen-cni', 'install', '--help'])).toMatchObject({ status: 0 });
    expect(runImage('sidecar', ['nft', '--version'])).toMatchObject({ status: 0 });
    const rules = runImage('sidecar', [
      'lateen-redirect',
      '--dry-run',
      '-p',
      '15001',
      '-z',
      '15006',
      '-u',
      '1337',
      '-m',
      'REDIRECT',
      '-i',
      '*',
      '-b',
      '*',
    ]);
    expect(rules).toMatchObject({ status: 0, stdout: expect.stringContaining('15006') });
    const gateway = runImage('sidecar', argsOf('gateway'));
    expect(gateway.status).toBe(1);
    expect(`${gateway.stdout}${gateway.stderr}`).toMatch(/POD_NAME/);
  });

  test('say what they are, and come out the same again', () => {
    const { id, config } = imageOf('galley');
    expect(config.Labels).toMatchObject({
      'org.opencontainers.image.title': 'lateen-galley',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.version': version,
      'org.opencontainers.image.revision': run('git', 'rev-parse', 'HEAD'),
    });
    build('galley');
    expect(imageOf('galley').id).toBe(id);
  });
});
