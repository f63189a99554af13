// What images hold: each component's root files run alone, are the same from the same build, and are small.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { REPOSITORY } from '../harness/repository.js';

const MOST_BYTES = 80_000_000;
const PROGRAMS = {
  galley: ['lateen-galley'],
  pilot: ['lateen-pilot'],
  citadel: ['lateen-citadel'],
  sidecar: ['lateen-sidecar', 'lateen-redirect', 'lateen-cni'],
};
const COMPONENTS = Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[];
const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string };

// Outside the repository, so that nothing of it is found by looking upwards.
let work: string;
let staged: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'lateen-images-test-'));
  staged = layOut('staged');
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

function layOut(name: string, umask = '022'): string {
  const target = join(work, name);
  // A program of its own, since a shell's umask is what a builder comes with.
  const command = `umask ${umask} && exec "$0" "$1" --stage "$2"`;
  const done = spawnSync('sh', ['-c', command, process.execPath, join(REPOSITORY, 'tools', 'images.mjs'), target], {
    encoding: 'utf8',
  });
  expect(done.stderr).toBe('');
  return target;
}

const programOf = (component: string, program: string) => join(staged, component, 'opt', 'lateen', 'bin', program);

/** As a container runs it: with Node.js in the path, and nothing else of this environment. */
function run(component: string, program: string, ...args: string[]) {
  const { status, stdout, stderr } = spawnSync(programOf(component, program), args, {
    cwd: work,
    env: { PATH: `${dirname(process.execPath)}:/usr/bin:/bin` },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

/** Path, mode, time and content of everything. */
function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => {
      const stats = statSync(join(folder, path));
      const hash = stats.isFile()
        ? createHash('sha256')
            .update(readFileSync(join(folder, path)))
            .digest('hex')
        : '-';
      return `${path} ${stats.mode.toString(8)} ${stats.mtimeMs} ${hash}`;
    });
}

describe.each(COMPONENTS)('the root files of %s', (component) => {
  test('hold its programs and stay below the limit', () => {
    const bin = readdirSync(join(staged, component, 'opt', 'lateen', 'bin'));
    expect(bin.sort()).toEqual([...PROGRAMS[component], 'package.json'].sort());
    const files = readdirSync(join(staged, component), { recursive: true, encoding: 'utf8' });
    const bytes = files.map((file) => statSync(join(staged, component, file))).filter((stats) => stats.isFile());
    expect(bytes.reduce((sum, { size }) => sum + size, 0)).toBeLessThan(MOST_BYTES);
    expect(files.filter((file) => file.endsWith('.map') || file.includes('src/main.ts'))).toEqual([]);
  });

  test.each(PROGRAMS[component])('%s runs with nothing else of the repository', (program) => {
    const help = run(component, program, '--help');
    expect(help).toMatchObject({ status: 0, stderr: '', stdout: expect.stringContaining('Usage: ') });
    if (program === 'lateen-cni') return;
    expect(run(component, program, '--version')).toEqual({ status: 0, stderr: '', stdout: `${version}\n` });
  });
});

test('two layings-out of one build are the same, whatever the umask', () => {
  expect(listing(layOut('again', '077'))).toEqual(listing(staged));
});

test('the sidecar of an image checks a bootstrap, and has its parts and its native part', () => {
  copyFileSync(join(REPOSITORY, 'examples', 'standalone', 'reverse-proxy.yaml'), join(work, 'bootstrap.yaml'));
  expect(run('sidecar', 'lateen-sidecar', '--config-path', 'bootstrap.yaml', '--mode', 'validate')).toEqual({
    status: 0,
    stderr: '',
    stdout: 'bootstrap.yaml: OK\n',
  });
  const dist = join(staged, 'sidecar', 'opt', 'lateen', 'apps', 'sidecar', 'dist');
  const require = createRequire(join(dist, 'main.js'));
  expect(require.resolve('koffi').startsWith(dist)).toBe(true);
  expect(require('koffi').load).toBeTypeOf('function');
  const parts = readdirSync(dist).filter((name) => name.startsWith('part-'));
  expect(parts).not.toEqual([]);
  for (const part of parts) expect(() => require(`./${part}`)).not.toThrow();
});

test('the init container of an image writes rules', () => {
  const flags = '-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -b * -d 15090,15021,15020'.split(' ');
  const { status, stdout } = run('sidecar', 'lateen-redirect', '--dry-run', ...flags);
  expect(status).toBe(0);
  expect(stdout).toContain('redirect to :15006');
  expect(stdout).toContain('redirect to :15001');
});

test('what cannot be built is said with what to do', () => {
  const images = (args: string[], env: Record<string, string> = {}) =>
    spawnSync(process.execPath, [join(REPOSITORY, 'tools', 'images.mjs'), ...args], {
      encoding: 'utf8',
      env: { PATH: work, ...env },
    });
  expect(images(['proxy'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('no component proxy; there are galley'),
  });
  expect(images(['galley'])).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/no builder works here: install .*--stage DIR/),
  });
  expect(images(['--builder', 'kaniko'])).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('one of docker, podman'),
  });
  expect(images(['--stage', work], { SOURCE_DATE_EPOCH: 'now' })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('SOURCE_DATE_EPOCH is "now"'),
  });
});
